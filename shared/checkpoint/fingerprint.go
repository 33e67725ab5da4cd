package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"runtime"
	"slices"
	"sync"
)

// Fingerprint is a SHA-256. Two weights, or two models, have one fingerprint exactly where they
// hold the same f32 numbers in the same shapes under the same names, whatever type a file holds
// them in: a bf16 checkpoint and its f32 copy are the same base, a rounded one is another.
type Fingerprint [sha256.Size]byte

// String is all 64 hexadecimal digits.
func (p Fingerprint) String() string { return hex.EncodeToString(p[:]) }

// Short is the first 12 digits, for people.
func (p Fingerprint) Short() string { return hex.EncodeToString(p[:6]) }

// IsZero reports whether p is unset.
func (p Fingerprint) IsZero() bool { return p == Fingerprint{} }

// ParseFingerprint is the inverse of String.
func ParseFingerprint(s string) (Fingerprint, error) {
	var p Fingerprint
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(p) {
		return p, fmt.Errorf("checkpoint: fingerprint %q: want %d hexadecimal digits", s, 2*len(p))
	}
	copy(p[:], b)
	return p, nil
}

// HashWeight is the fingerprint of one weight:
//
//	sha256("weight OUT IN\n" | w as f32, little-endian)      w [out, in]
//
// It panics where len(w) is not out·in.
func HashWeight(out, in int, w []float32) Fingerprint {
	if len(w) != out*in {
		panic(fmt.Sprintf("checkpoint: hash of %d numbers as [%d %d]", len(w), out, in))
	}
	h := newWeightHash(out, in)
	h.add(w)
	return Fingerprint(h.Sum(nil))
}

// weightHash is HashWeight of numbers that come in parts.
type weightHash struct {
	hash.Hash
	buf, scrap []byte
}

func newWeightHash(out, in int) *weightHash {
	h := &weightHash{sha256.New(), make([]byte, min(chunk, 4*out*in)), make([]byte, 512)}
	fmt.Fprintf(h, "weight %d %d\n", out, in)
	return h
}

func (h *weightHash) add(w []float32) {
	for len(w) > 0 {
		n := min(len(w), len(h.buf)/4)
		encoders[F32](h.buf, w[:n])
		// A goroutine that was preempted gets its vector registers back at their full width, and as
		// long as their upper halves are in use SHA instructions of amd64 take fifty times as long
		// (8 against 500 MB/s). A copy of this length ends by clearing them.
		copy(h.scrap, h.buf)
		h.Write(h.buf[:4*n])
		w = w[n:]
	}
}

// HashModel is the fingerprint of a model from those of its linear weights, walked by name:
//
//	sha256("model\n" | for each name, sorted: %q of the name, " ", the weight's hash, "\n")
//
// Weights can therefore be hashed one at a time, in any order, on any machine.
func HashModel(weights map[string]Fingerprint) Fingerprint {
	h := sha256.New()
	fmt.Fprint(h, "model\n")
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		fmt.Fprintf(h, "%q %v\n", name, weights[name])
	}
	return Fingerprint(h.Sum(nil))
}

// HashSource is HashModel of the named matrices of a source.
func HashSource(src Source, names []string) (Fingerprint, error) {
	weights, err := HashWeights(src, names)
	if err != nil {
		return Fingerprint{}, err
	}
	return HashModel(weights), nil
}

// HashWeights is HashWeight of each of the named matrices of a source, which are read by as many
// goroutines as there are processors: each holds one, or some rows where the source is a Ranger.
func HashWeights(src Source, names []string) (map[string]Fingerprint, error) {
	var (
		mu     sync.Mutex
		failed error
		next   int
		all    = make(map[string]Fingerprint, len(names))
		wg     sync.WaitGroup
	)
	take := func() (name string, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if failed != nil || next == len(names) {
			return "", false
		}
		next++
		return names[next-1], true
	}
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		wg.Go(func() {
			var w []float32 // one memory serves all of the goroutine's
			for name, ok := take(); ok; name, ok = take() {
				print, err := hashNamed(src, name, &w)
				mu.Lock()
				if all[name] = print; failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all, failed
}

// hashPart is how many numbers of a Ranger's are hashed at once.
const hashPart = 1 << 18

func hashNamed(src Source, name string, w *[]float32) (Fingerprint, error) {
	info, ok := src.Tensor(name)
	if !ok || len(info.Shape) != 2 {
		return Fingerprint{}, fmt.Errorf("checkpoint: fingerprint: no matrix %q", name)
	}
	out, in := info.Shape[0], info.Shape[1]
	ranger, parts := src.(Ranger)
	n := info.Len()
	if parts && in > 0 {
		n = max(hashPart/in, 1) * in
	}
	h := newWeightHash(out, in)
	for at := 0; at < info.Len(); at += n {
		k := min(n, info.Len()-at)
		*w = slices.Grow((*w)[:0], k)[:k]
		var err error
		if parts {
			err = ranger.ReadRange(name, at, *w)
		} else {
			err = src.ReadInto(name, *w)
		}
		if err != nil {
			return Fingerprint{}, err
		}
		h.add(*w)
	}
	return Fingerprint(h.Sum(nil)), nil
}
