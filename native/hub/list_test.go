package hub

import (
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the hub says, what is fetched has a name within a folder, a hash and a size.
func FuzzListing(f *testing.F) {
	hash := strings.Repeat("0", 40)
	f.Add([]byte(`{"sha": "`+hash+`", "siblings": [{"rfilename": "config.json", "size": 3,
		"blobId": "`+hash+`"}, {"rfilename": "model.safetensors", "size": 1, "blobId": "`+hash+`",
		"lfs": {"size": 9000, "sha256": "`+strings.Repeat("1", 64)+`", "pointerSize": 130}}]}`), "")
	f.Add([]byte(`{"sha": "`+hash+`", "siblings": [{"rfilename": "../x.gguf", "size": -3,
		"blobId": "../../`+hash+`"}]}`), "../x.gguf")
	f.Add([]byte(`{"sha": "main", "siblings": null}`), "")
	f.Fuzz(func(t *testing.T, data []byte, wanted string) {
		l, err := parseListing(data)
		if err != nil {
			return
		}
		files, err := l.choose(Name{Repo: "org/name", File: wanted})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is two sentences", err)
			}
			return
		}
		for _, f := range files {
			if !filepath.IsLocal(f.name) || !contentHash.MatchString(f.hash) || f.size < 0 {
				t.Errorf("%+v would be fetched", f)
			}
		}
	})
}
