package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// partialSuffix marks what is on its way, as the ecosystem's tools do.
const partialSuffix = ".incomplete"

// tries is how often a download that makes no headway is begun again.
const tries = 4

// fetch brings a file into the cache and gives the bytes that came. at hears how many are there.
func (h *Hub) fetch(ctx context.Context, n Name, commit string, f file, at func(int64)) (int64,
	error) {
	folder := filepath.Join(h.Cache, n.folder())
	blob := filepath.Join(folder, "blobs", f.hash)
	link := filepath.Join(folder, "snapshots", commit, filepath.FromSlash(f.name))
	locks := filepath.Join(h.Cache, ".locks", n.folder())
	for _, dir := range []string{filepath.Dir(blob), filepath.Dir(link), locks} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return 0, err
		}
	}
	lock := flock.New(filepath.Join(locks, f.hash+".lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return 0, err
	}
	defer lock.Unlock()
	d := &download{Hub: h, name: n, file: f, at: at, partial: blob + partialSuffix,
		address: fmt.Sprintf("%s/%s/resolve/%s/%s", h.Endpoint, n.Repo, commit, escaped(f.name))}
	if info, err := os.Stat(blob); err != nil || info.Size() != f.size {
		err := d.run(ctx)
		if err == nil {
			err = os.Rename(d.partial, blob)
		}
		if err != nil {
			return d.fetched, err
		}
	}
	at(f.size)
	return d.fetched, place(blob, link)
}

// escaped is a file's name as a part of an address.
func escaped(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// place makes link lead to blob, in one step. Where a system has no such links it becomes a second
// name of the file.
func place(blob, link string) error {
	to, err := filepath.Rel(filepath.Dir(link), blob)
	if err != nil {
		return err
	}
	if have, err := os.Readlink(link); err == nil && have == to {
		return nil
	}
	fresh := link + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if os.Symlink(to, fresh) != nil {
		if err := os.Link(blob, fresh); err != nil {
			return err
		}
	}
	return os.Rename(fresh, link)
}

// download is one file on its way.
type download struct {
	*Hub
	name    Name
	file    file
	address string
	partial string
	at      func(int64)

	out     *os.File
	sum     hash.Hash
	have    int64 // bytes of the file that are on the disk and in sum
	fetched int64
}

// run fills the partial file and checks it. It goes on with what an earlier run left; where that
// turns out wrong, it begins once more.
func (d *download) run(ctx context.Context) (err error) {
	if d.out, err = os.OpenFile(d.partial, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.out.Close()) }()
	if err := d.goOn(); err != nil {
		return err
	}
	resumed := d.have > 0
	for {
		if err := d.fill(ctx); err != nil {
			return err
		}
		got := hex.EncodeToString(d.sum.Sum(nil))
		if got == d.file.hash {
			return d.out.Sync()
		}
		if err := d.begin(); err != nil {
			return err
		}
		if !resumed {
			return errors.Join(fmt.Errorf("what came has hash %s, the hub says %s: it is thrown away",
				got, d.file.hash), os.Remove(d.partial))
		}
		resumed = false
	}
}

// newSum is the hash that the hub names the file by: git's is of a header and the contents.
func (d *download) newSum() hash.Hash {
	if len(d.file.hash) == 2*sha256.Size {
		return sha256.New()
	}
	sum := sha1.New()
	fmt.Fprintf(sum, "blob %d\x00", d.file.size)
	return sum
}

// begin forgets what is there.
func (d *download) begin() error {
	d.have, d.sum = 0, d.newSum()
	if err := d.out.Truncate(0); err != nil {
		return err
	}
	_, err := d.out.Seek(0, io.SeekStart)
	return err
}

// goOn reads what an earlier run left, up to its end.
func (d *download) goOn() error {
	info, err := d.out.Stat()
	if err != nil {
		return err
	}
	if info.Size() > d.file.size {
		return d.begin()
	}
	d.sum = d.newSum()
	d.have, err = io.Copy(d.sum, d.out)
	return err
}

// fill fetches what is missing. A connection that is cut is made anew, as long as bytes come.
func (d *download) fill(ctx context.Context) error {
	for left := tries; d.have < d.file.size; {
		before := d.have
		err := d.stream(ctx)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case !passing(err):
			return err
		}
		if left--; d.have > before {
			left = tries
		}
		if left == 0 {
			return fmt.Errorf("%w; the %d of %d bytes that came are kept, the same command goes on", err,
				d.have, d.file.size)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d.pause):
		}
	}
	return nil
}

// stream reads from one connection.
func (d *download) stream(outer context.Context) error {
	ctx, cut := context.WithCancel(outer)
	defer cut()
	response, err := d.get(ctx, d.name, d.address, d.have)
	if s := (*status)(nil); d.have > 0 && errors.As(err, &s) &&
		s.code == http.StatusRequestedRangeNotSatisfiable {
		if err := d.begin(); err != nil {
			return err
		}
		return d.stream(outer)
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := d.continues(response); err != nil {
		return err
	}
	silence := time.AfterFunc(d.idle, cut)
	defer silence.Stop()
	buf := make([]byte, 256<<10)
	for {
		n, err := response.Body.Read(buf)
		silence.Reset(d.idle)
		if int64(n) > d.file.size-d.have {
			return fmt.Errorf("more than the %d bytes that the hub says", d.file.size)
		}
		if _, err := d.out.Write(buf[:n]); err != nil {
			return fmt.Errorf("%w; what came is kept, the same command goes on", err)
		}
		d.sum.Write(buf[:n])
		d.have += int64(n)
		d.fetched += int64(n)
		d.at(d.have)
		switch {
		case err == io.EOF && d.have == d.file.size:
			return nil
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
		case err == nil:
			continue
		}
		if ctx.Err() != nil && outer.Err() == nil {
			err = fmt.Errorf("no byte for %v", d.idle)
		}
		return &unreachable{d.Endpoint, err}
	}
}

// continues makes sure that an answer begins where the file ends.
func (d *download) continues(response *http.Response) error {
	if d.have == 0 || response.StatusCode == http.StatusPartialContent && strings.HasPrefix(
		response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.have)) {
		return nil
	}
	if response.StatusCode == http.StatusOK { // it does not know ranges: from the start, then
		return d.begin()
	}
	return fmt.Errorf("asked for bytes from %d on, got %.60q", d.have,
		response.Header.Get("Content-Range"))
}

// writeText is for checkpoint's Create.
func writeText(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}
