package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"transformer2/shared/engine/protocol"
)

func TestStatic(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"site/index.html": "<p>page", "site/sw.js": "x",
		"site/files/0123456789abcdef/engine.wasm": "w", "secret": "s"} {
		write(t, filepath.Join(dir, name), text)
	}
	if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "site/out")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	h := Static(root)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	for path, want := range map[string]string{"/": "text/html; charset=utf-8",
		"/sw.js":                              "text/javascript; charset=utf-8",
		"/files/0123456789abcdef/engine.wasm": "application/wasm"} {
		w := get(path)
		forGood := strings.Contains(w.Header().Get("Cache-Control"), "immutable")
		if w.Code != 200 || w.Header().Get("Content-Type") != want ||
			forGood != strings.HasPrefix(path, "/files/") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/none", "/files/", "/../secret", "/%2e%2e/secret", "/out"} {
		if w := get(path); w.Code < 300 || strings.Contains(w.Body.String(), "s\n") {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestListen(t *testing.T) {
	first, err := Listen("127.0.0.1:0", false, false)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	taken := first.Addr().String()
	if _, err := Listen(taken, false, false); err == nil || !strings.Contains(err.Error(), "port") {
		t.Errorf("a taken port: %v", err)
	}
	next, err := Listen(taken, false, true)
	if err != nil || next.Addr().String() == taken {
		t.Fatalf("the next free port: %v", err)
	}
	next.Close()
	for _, addr := range []string{"0.0.0.0:0", ":0", "example.org:0", "[::]:0"} {
		_, err := Listen(addr, false, true)
		if err == nil || !strings.Contains(err.Error(), "--public") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	_, err = Listen("8642", false, true)
	if err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
		t.Errorf("no host: %v", err)
	}
}

// A site holds what its page needs, and what is on screen at once tells the voices apart.
func TestSite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	build := func() error { return Site(context.Background(), dir, []byte("engine"), []byte("exec")) }
	for range 2 { // the second goes over the first
		if err := build(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "precomputed.json"))
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Version int
		Runs    []struct {
			Request protocol.Generate
			Events  []struct {
				Type string
				Body json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(data, &p); err != nil || p.Version != protocol.Version ||
		len(p.Runs) != len(shown) {
		t.Fatalf("%v: version %d, %d runs", err, p.Version, len(p.Runs))
	}
	for _, r := range p.Runs {
		var texts []string
		for _, e := range r.Events {
			if e.Type != protocol.EventAnswer {
				continue
			}
			var a protocol.Answer
			if err := json.Unmarshal(e.Body, &a); err != nil {
				t.Fatal(err)
			}
			texts = append(texts, a.Text)
		}
		if len(texts) != 2 || texts[0] == texts[1] {
			t.Errorf("%s: %q", r.Request.Prompt, texts)
		}
	}
	other := t.TempDir()
	write(t, filepath.Join(other, "thesis.txt"), "mine")
	if err := Site(context.Background(), other, nil, nil); err == nil ||
		!strings.Contains(err.Error(), "no site") {
		t.Errorf("a folder with something else: %v", err)
	}
}

func TestNewHasLimits(t *testing.T) {
	if s := New(http.NotFoundHandler()); s.ReadHeaderTimeout == 0 || s.IdleTimeout == 0 {
		t.Error("a slow peer could hold a connection for ever")
	}
}
