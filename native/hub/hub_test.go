package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// refused wants an error of one sentence that says what it should.
func refused(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", want)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q lacks %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), token) {
		t.Errorf("%q is two sentences, or tells the token", err)
	}
}

// What a model needs is fetched, into the layout that others read, and found there again.
func TestPull(t *testing.T) {
	p := play(t)
	h := p.client()
	var seen []int64
	h.Progress = func(done, total int64) { seen = append(seen, done, total) }
	if _, err := h.Cached(p.name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty cache: %v", err)
	}
	got, err := h.Pull(context.Background(), p.name())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(h.Cache, "models--org--tiny-Llama")
	var total int64
	for name, large := range map[string]bool{"config.json": false, "tokenizer.json": false,
		"generation_config.json": false, "model.safetensors": true} {
		text := p.files[name]
		total += int64(len(text))
		hash := fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(text), text)))
		if large {
			hash = fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
		}
		data, err := os.ReadFile(filepath.Join(got.Path, name))
		if err != nil || string(data) != text {
			t.Errorf("%s: %d bytes (%v), want %d", name, len(data), err, len(text))
		}
		to, err := os.Readlink(filepath.Join(got.Path, name))
		if err != nil || filepath.ToSlash(to) != "../../blobs/"+hash {
			t.Errorf("%s leads to %q (%v), want ../../blobs/%s", name, to, err, hash)
		}
	}
	ref, err := os.ReadFile(filepath.Join(dir, "refs", "main"))
	if err != nil || string(ref) != commit || got.Path != filepath.Join(dir, "snapshots", commit) {
		t.Errorf("main is at %q (%v), the model in %s", ref, err, got.Path)
	}
	if got.Files != 4 || got.Bytes != total || got.Fetched != total || got.Commit != commit {
		t.Errorf("%+v, want 4 files of %d bytes", got, total)
	}
	if entries, _ := os.ReadDir(got.Path); len(entries) != 4 {
		t.Errorf("%v", entries)
	}
	if n := len(seen); n == 0 || seen[n-1] != total || seen[n-2] != total ||
		!slices.IsSortedFunc(slices.Collect(slices.Chunk(seen, 2)), func(a, b []int64) int {
			return int(a[0] - b[0])
		}) {
		t.Errorf("progress %v", seen)
	}
	if path, err := h.Cached(p.name()); err != nil || path != got.Path {
		t.Errorf("found at %q: %v", path, err)
	}
	p.asked = nil
	again, err := h.Pull(context.Background(), p.name())
	if err != nil || again.Fetched != 0 || len(p.asked) != 0 {
		t.Errorf("again: %+v, asked for %v: %v", again, p.asked, err)
	}
}

// A download that is cut goes on where it was: at once, and by the same command later.
func TestPullGoesOn(t *testing.T) {
	p := play(t)
	h := p.client()
	size := len(p.files["model.safetensors"])
	p.cut["model.safetensors"] = size / 3
	got, err := h.Pull(context.Background(), p.name())
	if err != nil || got.Fetched != got.Bytes {
		t.Errorf("%+v: %v", got, err)
	}
	want := []string{"model.safetensors from 0", fmt.Sprintf("model.safetensors from %d", size/3),
		fmt.Sprintf("model.safetensors from %d", size/3*2),
		fmt.Sprintf("model.safetensors from %d", size/3*3)}
	asked := slices.DeleteFunc(p.asked, func(s string) bool { return !strings.HasPrefix(s, "model.") })
	if !slices.Equal(asked, want[:len(asked)]) || len(asked) < 3 {
		t.Errorf("asked for %v, want %v", asked, want)
	}

	p = play(t)
	h = p.client()
	p.cut["model.safetensors"] = 1000
	ctx, cancel := context.WithCancel(context.Background())
	h.Progress = func(done, _ int64) {
		if done > 2000 { // Ctrl-C
			cancel()
		}
	}
	if _, err := h.Pull(ctx, p.name()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want an interruption", err)
	}
	delete(p.cut, "model.safetensors")
	p.asked, h.Progress = nil, nil
	got, err = h.Pull(context.Background(), p.name())
	if err != nil || len(p.asked) != 1 || p.asked[0] == "model.safetensors from 0" ||
		got.Fetched >= int64(size) {
		t.Errorf("%+v, asked for %v: %v", got, p.asked, err)
	}
	if data, _ := os.ReadFile(filepath.Join(got.Path, "model.safetensors")); len(data) != size {
		t.Errorf("%d bytes, want %d", len(data), size)
	}
}

// left is the partial file of the weights.
func (p *player) left(h *Hub) string {
	sum := sha256.Sum256([]byte(p.files["model.safetensors"]))
	return filepath.Join(h.Cache, "models--org--tiny-Llama", "blobs",
		fmt.Sprintf("%x.incomplete", sum))
}

// What an earlier run left may be wrong, or too long, or the host may know no ranges.
func TestPullBeginsAnewWhereItMust(t *testing.T) {
	for name, spoil := range map[string]func(p *player, text string) string{
		"wrong":     func(*player, string) string { return "not the beginning" },
		"too long":  func(_ *player, text string) string { return text + "more" },
		"no ranges": func(p *player, text string) string { p.ranges = false; return text[:100] },
		"refused range": func(p *player, text string) string {
			inner := p.far.Config.Handler
			p.far.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" {
					w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
					return
				}
				inner.ServeHTTP(w, r)
			})
			return text[:100]
		},
	} {
		p := play(t)
		h := p.client()
		left := p.left(h)
		if err := os.MkdirAll(filepath.Dir(left), 0o777); err != nil {
			t.Fatal(err)
		}
		text := p.files["model.safetensors"]
		if err := os.WriteFile(left, []byte(spoil(p, text)), 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := h.Pull(context.Background(), p.name())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if data, _ := os.ReadFile(filepath.Join(got.Path, "model.safetensors")); string(data) != text {
			t.Errorf("%s: %d bytes, want %d", name, len(data), len(text))
		}
		if _, err := os.Stat(left); err == nil {
			t.Errorf("%s: the partial file is still there", name)
		}
	}
}

// A file whose hash is wrong is refused; the model that was there before stays.
func TestPullKeepsTheModelThatWasThere(t *testing.T) {
	p := play(t)
	h := p.client()
	before, err := h.Pull(context.Background(), p.name())
	if err != nil {
		t.Fatal(err)
	}
	p.commit = strings.Repeat("f", 40)
	p.files["model.safetensors"] += "better"
	p.wrong["model.safetensors"] = true
	_, err = h.Pull(context.Background(), p.name())
	refused(t, err, repo, "model.safetensors", "has hash", "thrown away")
	if _, err := os.Stat(p.left(h)); err == nil {
		t.Error("what is wrong was kept")
	}
	if path, err := h.Cached(p.name()); err != nil || path != before.Path {
		t.Errorf("the model is at %q: %v", path, err)
	}
	p.wrong["model.safetensors"] = false
	after, err := h.Pull(context.Background(), p.name())
	if err != nil || after.Fetched != int64(len(p.files["model.safetensors"])) {
		t.Errorf("%+v: %v", after, err)
	}
	if path, _ := h.Cached(p.name()); path != after.Path || path == before.Path {
		t.Errorf("the model is at %q", path)
	}
}

func TestPullRefusals(t *testing.T) {
	for want, damage := range map[string]func(p *player, h *Hub){
		"there is no public model org/tiny-Llama": func(_ *player, h *Hub) { h.Token = "" },
		"the token (HF_TOKEN) does not open":      func(_ *player, h *Hub) { h.Token = "hf_other" },
		"there is no model org/tiny-Llama at revision main": func(p *player, _ *Hub) {
			p.broken["list"] = http.StatusNotFound
		},
		"0.0 GB are to come": func(_ *player, h *Hub) {
			h.free = func(string) (int64, bool) { return 1000, true }
		},
		"answers 500":          func(p *player, _ *Hub) { p.broken["list"] = 500 },
		"no list of files":     func(p *player, _ *Hub) { p.commit = "main" },
		"no model.safetensors": func(p *player, _ *Hub) { delete(p.files, "model.safetensors") },
		"name one of them: a.gguf, b.gguf": func(p *player, _ *Hub) {
			delete(p.files, "model.safetensors")
			p.files["a.gguf"], p.files["b.gguf"] = "", ""
		},
		"answers 503":                        func(p *player, _ *Hub) { p.broken["model.safetensors"] = 503 },
		"are kept, the same command goes on": func(p *player, _ *Hub) { p.cut["model.safetensors"] = 0 },
		"with 320000 bytes and hash \"../x\"": func(p *player, _ *Hub) {
			p.hub.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"sha": %q, "siblings": [{"rfilename": "model.safetensors",
					"size": 320000, "blobId": "../x"}]}`, commit)
			})
		},
		"more than the": func(p *player, _ *Hub) {
			text := p.files["model.safetensors"]
			inner := p.far.Config.Handler
			p.far.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				p.mu.Lock()
				p.files["model.safetensors"] = text + "more"
				p.mu.Unlock()
				inner.ServeHTTP(w, r)
			})
		},
	} {
		p := play(t)
		h := p.client()
		damage(p, h)
		_, err := h.Pull(context.Background(), p.name())
		refused(t, err, want)
	}
}

// Without a network the command tells what it would have fetched.
func TestPullOffline(t *testing.T) {
	p := play(t)
	h := p.client()
	h.Offline = true
	_, err := h.Pull(context.Background(), p.name())
	refused(t, err, "HF_HUB_OFFLINE", "would have fetched", repo, "revision main", "config.json",
		"model.safetensors", p.hub.URL+"/"+repo+"/tree/main")
	if len(p.asked) > 0 {
		t.Errorf("asked for %v", p.asked)
	}
	h.Offline = false
	p.hub.Close()
	_, err = h.Pull(context.Background(), Name{Repo: repo, Revision: "../../x"})
	refused(t, err, `revision "../../x"`)
	_, err = h.Pull(context.Background(), p.name())
	refused(t, err, "cannot be reached", "would have fetched", "tokenizer")

	p = play(t)
	h = p.client()
	for _, name := range []string{"model-00001-of-00002.safetensors",
		"model-00002-of-00002.safetensors"} {
		p.files[name] = name
	}
	delete(p.files, "model.safetensors")
	p.files["model.safetensors.index.json"] = `{"metadata": {"total_size": 16060522496},
		"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}`
	got, err := h.Pull(context.Background(), p.name())
	if err != nil || got.Files != 6 {
		t.Fatalf("%+v: %v", got, err)
	}
	h.Offline = true
	again, err := h.Pull(context.Background(), p.name())
	if err != nil || again.Path != got.Path || again.Commit != commit || again.Unasked == nil {
		t.Errorf("%+v: %v", again, err)
	}
	h.Offline = false
	p.hub.Close()
	if again, err = h.Pull(context.Background(), p.name()); err != nil || again.Path != got.Path {
		t.Errorf("without a network: %+v: %v", again, err)
	}
	if err := os.Remove(filepath.Join(got.Path, "model-00002-of-00002.safetensors")); err != nil {
		t.Fatal(err)
	}
	_, err = h.Pull(context.Background(), p.name())
	refused(t, err, "would have fetched", "model-00002-of-00002.safetensors", "16.1 GB")
	if strings.Contains(err.Error(), "00001") || strings.Contains(err.Error(), "config.json") {
		t.Errorf("%v is there", err)
	}
}

// One GGUF of several is a name of its own.
func TestPullOneFile(t *testing.T) {
	p := play(t)
	h := p.client()
	p.files["m.Q8_0.gguf"], p.large["m.Q8_0.gguf"] = "GGUF", true
	n, ok := ParseName(repo + "/m.Q8_0.gguf")
	if !ok {
		t.Fatal("the name is none")
	}
	got, err := h.Pull(context.Background(), n)
	if err != nil || got.Files != 1 || filepath.Base(got.Path) != "m.Q8_0.gguf" {
		t.Fatalf("%+v: %v", got, err)
	}
	if path, err := h.Cached(n); err != nil || path != got.Path {
		t.Errorf("found at %q: %v", path, err)
	}
	n.File = "m.Q4_0.gguf"
	_, err = h.Cached(n)
	refused(t, err, "lacks m.Q4_0.gguf")
	_, err = h.Pull(context.Background(), n)
	refused(t, err, `no file "m.Q4_0.gguf"`)
}

// A connection that says nothing counts as cut.
func TestPullSilence(t *testing.T) {
	p := play(t)
	h := p.client()
	h.idle = 50 * time.Millisecond
	release := make(chan struct{})
	defer close(release)
	p.far.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("weig"))
		w.(http.Flusher).Flush()
		<-release
	})
	_, err := h.Pull(context.Background(), p.name())
	refused(t, err, "no byte for 50ms", "4 of 320000 bytes", "the same command goes on")
}

func TestRedirectsOutOfHTTPS(t *testing.T) {
	via := []*http.Request{httptest.NewRequest("GET", "https://hub/x", nil)}
	for address, want := range map[string]string{"http://hub/x": "a redirect from https"} {
		refused(t, redirect(httptest.NewRequest("GET", address, nil), via), want)
	}
	refused(t, redirect(via[0], slices.Repeat(via, 10)), "ten redirects")
	for address, kept := range map[string]bool{"https://hub/y": true, "https://cdn.hub/y": false,
		"https://hub:444/y": false} {
		r := httptest.NewRequest("GET", address, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		if err := redirect(r, via); err != nil || (r.Header.Get("Authorization") != "") != kept {
			t.Errorf("%s: token kept %v, want %v (%v)", address, !kept, kept, err)
		}
	}
}

func TestParseName(t *testing.T) {
	for text, want := range map[string]string{"org/name": "org/name", "a/b.c-d_e": "a/b.c-d_e",
		"o/n/x.gguf": "o/n/x.gguf", "o/n/q4/x.GGUF": "o/n/q4/x.GGUF", "name": "", "/a/b": "", "./a": "",
		"../a": "", "a/..": "", "a/b/": "", "a/b/c": "", "a/b/../x.gguf": "", "a/b//x.gguf": "",
		"a b/c": "", "a--b/c": "", "a/b\\c": "", "zoo:tako": "", "a/" + strings.Repeat("x", 100): ""} {
		n, ok := ParseName(text)
		if ok != (want != "") || ok && (n.String() != want || n.Revision != "main") {
			t.Errorf("%q is %+v, %v", text, n, ok)
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "token"), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, env := range map[string]map[string]string{
		"https://huggingface.co " + home + "/hub " + token + " false": {"HF_HOME": home},
		"http://mirror /c x true": {"HF_HOME": home, "HF_HUB_CACHE": "/c",
			"HF_ENDPOINT": "http://mirror/", "HF_TOKEN": "x", "HF_HUB_OFFLINE": "1"},
		"https://huggingface.co /x/huggingface/hub  false": {"XDG_CACHE_HOME": "/x",
			"HF_HUB_OFFLINE": "0"},
	} {
		h, err := FromEnvironment(func(key string) string { return env[key] })
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(h.Endpoint, " ", filepath.ToSlash(h.Cache), " ", h.Token, " ",
			h.Offline); got != want {
			t.Errorf("%v: %q, want %q", env, got, want)
		}
	}
}
