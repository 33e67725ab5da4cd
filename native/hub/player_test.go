package hub

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	repo   = "org/tiny-Llama"
	commit = "0123456789abcdef0123456789abcdef01234567"
	token  = "hf_secret"
)

// player plays the hub and, on another port, the host that it keeps large files on.
type player struct {
	t      *testing.T
	hub    *httptest.Server
	far    *httptest.Server
	files  map[string]string
	large  map[string]bool // named by SHA-256 and kept far away
	commit string

	mu     sync.Mutex
	asked  []string       // "FILE from N"
	cut    map[string]int // after so many bytes the connection ends, once a time
	broken map[string]int // answers with this status
	wrong  map[string]bool
	ranges bool
}

func play(t *testing.T) *player {
	p := &player{t: t, commit: commit, ranges: true, cut: map[string]int{}, broken: map[string]int{},
		wrong: map[string]bool{}, large: map[string]bool{"model.safetensors": true},
		files: map[string]string{"config.json": `{"model_type": "llama"}`, "tokenizer.json": "{}",
			"model.safetensors": strings.Repeat("weights ", 40_000), "README.md": "read",
			"pytorch_model.bin": "pickle", "original/consolidated.00.pth": "pickle",
			"generation_config.json": ""}}
	p.hub = httptest.NewServer(http.HandlerFunc(p.serveHub))
	p.far = httptest.NewServer(http.HandlerFunc(p.serveFar))
	t.Cleanup(p.hub.Close)
	t.Cleanup(p.far.Close)
	return p
}

// client is a hub of an empty cache that waits for nothing.
func (p *player) client() *Hub {
	cache := p.t.TempDir()
	h, err := FromEnvironment(func(key string) string {
		return map[string]string{"HF_ENDPOINT": p.hub.URL + "/", "HF_HOME": cache, "HF_TOKEN": token}[key]
	})
	if err != nil {
		p.t.Fatal(err)
	}
	h.pause = time.Millisecond
	return h
}

func (p *player) serveHub(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.URL.Path == "/api/models/"+repo+"/revision/main" && r.URL.Query().Get("blobs") == "true" {
		p.list(w)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/"+repo+"/resolve/"+p.commit+"/")
	if _, known := p.files[name]; !ok || !known {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if p.large[name] {
		http.Redirect(w, r, p.far.URL+"/"+name, http.StatusFound)
		return
	}
	p.send(w, r, name)
}

func (p *player) serveFar(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		p.t.Error("the token went to another host")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.send(w, r, strings.TrimPrefix(r.URL.Path, "/"))
}

func (p *player) list(w http.ResponseWriter) {
	if code := p.broken["list"]; code != 0 {
		w.WriteHeader(code)
		return
	}
	var siblings []map[string]any
	for name, text := range p.files {
		s := map[string]any{"rfilename": name, "size": len(text),
			"blobId": fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(text), text)))}
		if p.large[name] {
			s["lfs"] = map[string]any{"size": len(text), "pointerSize": 130,
				"sha256": fmt.Sprintf("%x", sha256.Sum256([]byte(text)))}
			s["blobId"] = strings.Repeat("0", 40)
		}
		siblings = append(siblings, s)
	}
	json.NewEncoder(w).Encode(map[string]any{"sha": p.commit, "siblings": siblings})
}

// send sends a file, or what the test wants to go wrong.
func (p *player) send(w http.ResponseWriter, r *http.Request, name string) {
	text, from := p.files[name], 0
	if p.wrong[name] {
		text = strings.Repeat("x", len(text))
	}
	if s, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && p.ranges {
		from, _ = strconv.Atoi(strings.TrimSuffix(s, "-"))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(text)-1, len(text)))
	}
	p.asked = append(p.asked, fmt.Sprintf("%s from %d", name, from))
	if code := p.broken[name]; code != 0 {
		w.WriteHeader(code)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)-from))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	if n, ok := p.cut[name]; ok && n < len(text)-from {
		w.Write([]byte(text[from : from+n]))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write([]byte(text[from:]))
}

func (p *player) name() Name {
	n, ok := ParseName(repo)
	if !ok {
		p.t.Fatal("the name is none")
	}
	return n
}
