package hub

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

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
	for text, want := range map[string]string{"org/name": "main", "a/b.c-d_e": "main",
		"o/n/x.gguf": "main", "o/n/q4/x.GGUF": "main", "o/n@v1.0": "v1.0",
		"o/n@refs/pr/1": "refs/pr/1", "o/n/x.gguf@v2": "v2", "o/n@": "", "o/n@..": "", "o/n@.": "",
		"o/n@../../x": "", "o/n@/x": "", "@v": "", "name": "", "/a/b": "", "./a": "",
		"../a": "", "a/..": "", "a/b/": "", "a/b/c": "", "a/b/../x.gguf": "", "a/b//x.gguf": "",
		"a b/c": "", "a--b/c": "", "a/b\\c": "", "zoo:tako": "", "a/" + strings.Repeat("x", 100): ""} {
		n, ok := ParseName(text)
		if ok != (want != "") || ok && (n.String() != text || n.Revision != want) {
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
		"https://huggingface.co /old old false": {"HF_HOME": home, "HUGGINGFACE_HUB_CACHE": "/old",
			"HUGGING_FACE_HUB_TOKEN": "old"},
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
