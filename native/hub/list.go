package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"

	"transformer2/shared/checkpoint"
	"transformer2/shared/pretrained"
)

// listing is what the hub says of a model at a revision.
type listing struct {
	Commit string `json:"sha"`
	Files  []struct {
		Name string `json:"rfilename"`
		Size int64  `json:"size"`
		Blob string `json:"blobId"` // git's SHA-1
		LFS  *struct {
			Size int64  `json:"size"`
			Hash string `json:"sha256"`
		} `json:"lfs"` // of large files, for which git has a note only
	} `json:"siblings"`
}

// file is one that is to be fetched.
type file struct {
	name string
	size int64
	hash string // 64 digits of SHA-256, or 40 of git's SHA-1
}

const (
	maxListing = 32 << 20
	maxFile    = 1 << 44
)

var contentHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// list asks the hub for the files of a model, their sizes and hashes.
func (h *Hub) list(ctx context.Context, n Name) (*listing, error) {
	address := fmt.Sprintf("%s/api/models/%s/revision/%s?blobs=true", h.Endpoint, n.Repo,
		url.PathEscape(n.Revision))
	response, err := h.get(ctx, n, address, 0)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxListing+1))
	if err != nil {
		return nil, &unreachable{h.Endpoint, err}
	}
	l, err := parseListing(data)
	if err != nil {
		return nil, fmt.Errorf("hub: what %s says of %s is no list of files: %w", h.Endpoint, n.Repo, err)
	}
	return l, nil
}

func parseListing(data []byte) (*listing, error) {
	if len(data) > maxListing {
		return nil, fmt.Errorf("more than %d bytes", maxListing)
	}
	var l listing
	if err := checkpoint.UnmarshalJSON(data, &l); err != nil {
		return nil, err
	}
	if !commitHash.MatchString(l.Commit) {
		return nil, fmt.Errorf("commit %.60q", l.Commit)
	}
	return &l, nil
}

// choose is the files that the model needs.
func (l *listing) choose(n Name) ([]file, error) {
	known := make(map[string]file, len(l.Files))
	var names []string
	for _, f := range l.Files {
		one := file{f.Name, f.Size, f.Blob}
		if f.LFS != nil {
			one.size, one.hash = f.LFS.Size, f.LFS.Hash
		}
		names = append(names, f.Name)
		known[f.Name] = one
	}
	chosen, err := pretrained.Choose(names, n.File)
	if err != nil {
		return nil, err
	}
	files := make([]file, len(chosen))
	for i, name := range chosen {
		f := known[name]
		if !contentHash.MatchString(f.hash) || f.size < 0 || f.size > maxFile ||
			!filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, fmt.Errorf("the hub lists %.60q with %d bytes and hash %.80q", name, f.size, f.hash)
		}
		files[i] = f
	}
	return files, nil
}

// unreachable is the error of a hub that did not answer.
type unreachable struct {
	endpoint string
	err      error
}

func (u *unreachable) Error() string {
	var detail *url.Error // its text repeats the address
	if errors.As(u.err, &detail) {
		return fmt.Sprintf("%s cannot be reached (%v)", u.endpoint, detail.Err)
	}
	return fmt.Sprintf("%s cannot be reached (%v)", u.endpoint, u.err)
}

func (u *unreachable) Unwrap() error { return u.err }

// get asks for what lies at an address, from a byte on. The token goes to the hub alone.
func (h *Hub) get(ctx context.Context, n Name, address string, from int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("hub: HF_ENDPOINT is %.80q: %w", h.Endpoint, err)
	}
	request.Header.Set("Accept-Encoding", "identity") // bytes as they are counted and hashed
	if h.Token != "" {
		request.Header.Set("Authorization", "Bearer "+h.Token)
	}
	if from > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	response, err := h.Client.Do(request)
	if err != nil {
		return nil, &unreachable{h.Endpoint, err}
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		return response, nil
	}
	response.Body.Close()
	return nil, h.refused(n, response.StatusCode)
}

// status is an answer that is no file; a few of them may be another the next time.
type status struct {
	code int
	text string
}

func (s *status) Error() string { return s.text }

func (h *Hub) refused(n Name, code int) error {
	page := h.Endpoint + "/" + n.Repo
	s := &status{code: code}
	switch {
	case code == http.StatusNotFound:
		s.text = fmt.Sprintf("hub: there is no model %s at revision %s (%s)", n, n.Revision, page)
	case code != http.StatusUnauthorized && code != http.StatusForbidden:
		s.text = fmt.Sprintf("hub: %s answers %d %s", page, code, http.StatusText(code))
	case h.Token == "":
		s.text = fmt.Sprintf("hub: there is no public model %s: accept its licence at %s and set "+
			"HF_TOKEN, or want another name", n.Repo, page)
	default:
		s.text = fmt.Sprintf("hub: the token (HF_TOKEN) does not open %s: accept its licence at %s, or "+
			"want another name", n.Repo, page)
	}
	return s
}

// passing reports whether an error may be gone the next time: the network's, or the hub's own.
func passing(err error) bool {
	if s := (*status)(nil); errors.As(err, &s) {
		return s.code == http.StatusTooManyRequests || s.code >= 500
	}
	var u *unreachable
	return errors.As(err, &u)
}
