// Package hub answers: which files does a model's name on Hugging Face's hub stand for, and how do
// they come here?
//
// They lie in the cache that the ecosystem's tools share (huggingface.co/docs/hub/local-cache):
//
//	models--ORG--NAME/blobs/HASH                 contents, under SHA-256 (large files) or git's SHA-1
//	models--ORG--NAME/snapshots/COMMIT/FILE      -> ../../blobs/HASH
//	models--ORG--NAME/refs/REVISION              the commit that a branch was at
//
// so what another program fetched is found, and what is fetched here is found by others. A
// download goes on where it was cut, and takes its place only when its hash is right.
package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"transformer2/shared/checkpoint"
	"transformer2/shared/pretrained"
)

// Name is a model on the hub, or one file of it.
type Name struct {
	Repo     string // "org/name"
	File     string // a GGUF; "": all that a model needs
	Revision string // a branch, a tag or a commit
}

func (n Name) String() string { return path.Join(n.Repo, n.File) }

// folder is the model's in the cache.
func (n Name) folder() string { return "models--" + strings.ReplaceAll(n.Repo, "/", "--") }

var repoPart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$`)

// ParseName reads ORG/NAME or ORG/NAME/FILE.gguf, at the branch main.
func ParseName(text string) (Name, bool) {
	parts := strings.SplitN(text, "/", 3)
	if len(parts) < 2 || !repoPart.MatchString(parts[0]) || !repoPart.MatchString(parts[1]) ||
		strings.Contains(parts[0]+parts[1], "..") || strings.Contains(parts[0]+"/"+parts[1], "--") {
		return Name{}, false
	}
	n := Name{Repo: parts[0] + "/" + parts[1], Revision: "main"}
	if len(parts) == 3 {
		n.File = parts[2]
		if !fs.ValidPath(n.File) || !filepath.IsLocal(n.File) ||
			!strings.EqualFold(path.Ext(n.File), ".gguf") {
			return Name{}, false
		}
	}
	return n, true
}

// check refuses a revision that would be a file outside of the cache.
func (n Name) check() error {
	if !filepath.IsLocal(n.Revision) {
		return fmt.Errorf("hub: revision %.60q is no branch, tag or commit", n.Revision)
	}
	return nil
}

// Hub is where models come from, and where they are kept.
type Hub struct {
	Endpoint string // "https://huggingface.co"
	Cache    string
	Token    string // "": none
	Offline  bool   // fetch nothing
	Client   *http.Client
	Progress func(done, total int64) // bytes of all files; may be nil

	free  func(dir string) (int64, bool) // bytes that its disk has room for, where that is known
	pause time.Duration                  // before a download that was cut goes on
	idle  time.Duration                  // without a byte after which a connection counts as cut
}

// FromEnvironment is the hub that the ecosystem's variables ask for: HF_ENDPOINT, HF_HUB_CACHE or
// HF_HOME, HF_TOKEN or the file that a login left, HF_HUB_OFFLINE.
func FromEnvironment(getenv func(string) string) (*Hub, error) {
	h := &Hub{Endpoint: cmp.Or(getenv("HF_ENDPOINT"), "https://huggingface.co"),
		Token: getenv("HF_TOKEN"), Cache: getenv("HF_HUB_CACHE"), free: free, pause: time.Second,
		idle: time.Minute}
	h.Endpoint = strings.TrimRight(h.Endpoint, "/")
	h.Offline = slices.Contains([]string{"1", "on", "yes", "true"},
		strings.ToLower(getenv("HF_HUB_OFFLINE")))
	home := getenv("HF_HOME")
	if home == "" {
		cache := getenv("XDG_CACHE_HOME")
		if cache == "" {
			user, err := os.UserHomeDir()
			if err != nil && h.Cache == "" {
				return nil, fmt.Errorf("hub: no place for a cache: %w; set HF_HOME", err)
			}
			cache = filepath.Join(user, ".cache")
		}
		home = filepath.Join(cache, "huggingface")
	}
	h.Cache = cmp.Or(h.Cache, filepath.Join(home, "hub"))
	if h.Token == "" {
		token, _ := os.ReadFile(cmp.Or(getenv("HF_TOKEN_PATH"), filepath.Join(home, "token")))
		h.Token = string(token)
	}
	h.Token = strings.TrimSpace(h.Token)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = h.idle
	h.Client = &http.Client{Transport: transport, CheckRedirect: redirect}
	return h, nil
}

// redirect follows the hub to where it keeps large files, but takes the token nowhere else: neither
// to another host, port or scheme, nor along an address that is not encrypted.
func redirect(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) >= 10:
		return errors.New("ten redirects")
	case first.Scheme == "https" && r.URL.Scheme != "https":
		return fmt.Errorf("a redirect from https to %s://%s", r.URL.Scheme, r.URL.Host)
	case r.URL.Scheme != first.Scheme || r.URL.Host != first.Host:
		r.Header.Del("Authorization")
	}
	return nil
}

var commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// snapshot is the folder of the revision in the cache, whether or not it is there.
func (h *Hub) snapshot(n Name) (string, error) {
	folder := filepath.Join(h.Cache, n.folder())
	commit := n.Revision
	if !commitHash.MatchString(commit) {
		if err := n.check(); err != nil {
			return "", err
		}
		data, err := os.ReadFile(filepath.Join(folder, "refs", filepath.FromSlash(n.Revision)))
		if err != nil {
			return "", err
		}
		if commit = strings.TrimSpace(string(data)); !commitHash.MatchString(commit) {
			return "", fmt.Errorf("hub: the cache's %s/refs/%s holds %.60q, want a commit", n.folder(),
				n.Revision, commit)
		}
	}
	return filepath.Join(folder, "snapshots", commit), nil
}

// Cached is the model's folder, or its one file, in the cache. Where it is not there whole, the
// error is an fs.ErrNotExist that tells what is missing.
func (h *Hub) Cached(n Name) (string, error) {
	dir, err := h.snapshot(n)
	lacks := []string{n.File}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		lacks = nil
	case err != nil:
		return "", err
	case n.File != "":
		file := filepath.Join(dir, filepath.FromSlash(n.File))
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	default:
		var bytes int64
		if lacks, bytes, err = pretrained.Missing(os.DirFS(dir)); err != nil {
			return "", fmt.Errorf("%s in the hub's cache: %w", n, err)
		}
		if len(lacks) == 0 {
			return dir, nil
		}
		if bytes > 0 {
			lacks = append(lacks, fmt.Sprintf("of %.1f GB weights in all", float64(bytes)/1e9))
		}
	}
	return "", &absent{n, lacks}
}

// absent says what of a model is not in the cache.
type absent struct {
	name  Name
	lacks []string // nil: nothing is there
}

func (a *absent) Error() string {
	return fmt.Sprintf("%s is not whole in the hub's cache, it lacks %s", a.name, a.what())
}

func (a *absent) Is(target error) bool { return target == fs.ErrNotExist }

func (a *absent) what() string {
	switch {
	case len(a.lacks) > 0:
		return strings.Join(a.lacks, ", ")
	case a.name.File != "":
		return a.name.File
	}
	return "config.json, the tokenizer's files and model.safetensors or its shards, or its GGUF"
}

// Pulled is a model that is in the cache.
type Pulled struct {
	Path    string // of the folder, or of the one file
	Commit  string
	Files   int
	Bytes   int64 // of all files
	Fetched int64 // that were not there
	// Unasked is why the hub was not asked, where it is not known whether it has a newer model.
	Unasked error
}

// Pull fetches what of a model is not in the cache. Where it ends early, what came is kept for the
// next time, and the model that the cache had before is the one that it has. Without a network the
// model must be there; the error tells what would have been fetched.
func (h *Hub) Pull(ctx context.Context, n Name) (Pulled, error) {
	if err := n.check(); err != nil {
		return Pulled{}, err
	}
	if h.Offline {
		return h.unasked(n, errors.New("offline (HF_HUB_OFFLINE is set)"))
	}
	list, err := h.list(ctx, n)
	if u := (*unreachable)(nil); errors.As(err, &u) && ctx.Err() == nil {
		return h.unasked(n, err)
	}
	if err != nil {
		return Pulled{}, err
	}
	files, err := list.choose(n)
	if err != nil {
		return Pulled{}, fmt.Errorf("hub: %s: %w", n.Repo, err)
	}
	p := Pulled{Commit: list.Commit, Files: len(files),
		Path: filepath.Join(h.Cache, n.folder(), "snapshots", list.Commit, filepath.FromSlash(n.File))}
	for _, f := range files {
		p.Bytes += f.size
	}
	if err := h.fits(n, files); err != nil {
		return p, err
	}
	var done int64
	for _, f := range files {
		fetched, err := h.fetch(ctx, n, list.Commit, f, func(at int64) {
			if h.Progress != nil {
				h.Progress(done+at, p.Bytes)
			}
		})
		p.Fetched += fetched
		if err != nil {
			return p, fmt.Errorf("hub: %s: %s: %w", n.Repo, f.name, err)
		}
		done += f.size
	}
	return p, h.remember(n, list.Commit)
}

// fits refuses files that the disk has no room for, before the first of them comes.
func (h *Hub) fits(n Name, files []file) error {
	blobs := filepath.Join(h.Cache, n.folder(), "blobs")
	if err := os.MkdirAll(blobs, 0o777); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	var needed int64
	for _, f := range files {
		blob := filepath.Join(blobs, f.hash)
		needed += f.size - min(f.size, max(sizeOf(blob), sizeOf(blob+partialSuffix)))
	}
	if room, known := h.free(blobs); known && needed > room {
		return fmt.Errorf("hub: %s: %.1f GB are to come, and %s has room for %.1f GB: nothing was fetched",
			n, float64(needed)/1e9, h.Cache, float64(room)/1e9)
	}
	return nil
}

// sizeOf is a file's size, 0 where there is none.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// remember writes which commit a branch is at.
func (h *Hub) remember(n Name, commit string) error {
	if n.Revision == commit {
		return nil
	}
	refs := checkpoint.Dir(filepath.Join(h.Cache, n.folder(), "refs"))
	return refs.Create(filepath.FromSlash(n.Revision), writeText(commit))
}

// unasked is the model that the cache has, or the error of one that could not be fetched because of
// cause.
func (h *Hub) unasked(n Name, cause error) (Pulled, error) {
	path, err := h.Cached(n)
	if a := (*absent)(nil); errors.As(err, &a) {
		return Pulled{}, fmt.Errorf("hub: %w; would have fetched of %s at revision %s: %s, from "+
			"%s/%s/tree/%s", cause, n.Repo, n.Revision, a.what(), h.Endpoint, n.Repo, n.Revision)
	}
	if err != nil {
		return Pulled{}, err
	}
	dir, err := h.snapshot(n)
	return Pulled{Path: path, Commit: filepath.Base(dir), Unasked: cause}, err
}
