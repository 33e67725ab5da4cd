package cli

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hubOf plays a hub that has the tiny model as org/tiny.
func hubOf(t *testing.T) *httptest.Server {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	mux := http.NewServeMux()
	mux.HandleFunc("/api/models/org/tiny/revision/main", func(w http.ResponseWriter, _ *http.Request) {
		var siblings []map[string]any
		for _, e := range must(os.ReadDir(tiny)) {
			if e.IsDir() {
				continue
			}
			data := get(t, tiny, e.Name())
			siblings = append(siblings, map[string]any{"rfilename": e.Name(), "size": len(data),
				"blobId": fmt.Sprintf("%x", sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)),
					data...)))})
		}
		check(json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": siblings}))
	})
	mux.Handle("/org/tiny/resolve/"+commit+"/", http.StripPrefix("/org/tiny/resolve/"+commit,
		http.FileServer(http.Dir(tiny))))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// A model is pulled by its name, and answers by it from then on, without a network.
func TestPull(t *testing.T) {
	s := hubOf(t)
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("HF_ENDPOINT", s.URL)
	t.Setenv("HF_HUB_OFFLINE", "1")
	refused(t, t2("", "pull", "org/tiny"), "HF_HUB_OFFLINE", "would have fetched", "config.json",
		s.URL+"/org/tiny/tree/main")
	refused(t, t2("", "generate", "--model", "org/tiny", "--prompt", "x"), "no such file",
		"t2 pull org/tiny")
	t.Setenv("HF_HUB_OFFLINE", "")
	const fields = "model path commit files bytes fetched"
	l := lines(t, ok(t, "pull", "org/tiny", "--json"), fields)[0]
	if l["files"] != 3.0 || l["fetched"] != l["bytes"] {
		t.Errorf("%v", l)
	}
	if again := lines(t, ok(t, "pull", "org/tiny", "--json"), fields)[0]; again["fetched"] != 0.0 {
		t.Errorf("again %v", again)
	}
	refused(t, t2("", "pull", "org/huge"), "no model org/huge", "revision main")
	refused(t, t2("", "pull", "tiny"), `"tiny"`, "ORG/NAME")
	s.Close()
	refused(t, t2("", "pull", "org/huge"), "cannot be reached", "would have fetched")
	says := func(model string) any {
		t.Helper()
		return lines(t, ok(t, "generate", "--model", model, "--json", "--prompt", question,
			"--max-tokens", "8"), answerFields)[0]["text"]
	}
	if got, want := says("org/tiny"), says(tiny); got != want {
		t.Errorf("%q by name, %q by path", got, want)
	}
	blob := must(filepath.EvalSymlinks(filepath.Join(l["path"].(string), "model.safetensors")))
	check(os.Remove(blob))
	refused(t, t2("", "generate", "--model", "org/tiny", "--prompt", "x"), "lacks model.safetensors",
		"t2 pull org/tiny")
	if text := t2("", "pull", "--help").out; !strings.Contains(text, "HF_TOKEN") {
		t.Errorf("help: %s", text)
	}
}
