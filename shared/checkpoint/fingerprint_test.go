package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

// The documented walk, written out by hand.
func TestFingerprintIsTheDocumentedHash(t *testing.T) {
	weight := sha256.Sum256([]byte("weight 1 2\n\x00\x00\x80\x3f\x00\x00\x00\xc0"))
	got := HashWeight(1, 2, []float32{1, -2})
	if got != weight {
		t.Errorf("weight %v, want %x", got, weight)
	}
	w := hex.EncodeToString(weight[:])
	model := sha256.Sum256([]byte("model\n\"a.weight\" " + w + "\n\"b\\n\" " + w + "\n"))
	if got := HashModel(map[string]Fingerprint{"b\n": got, "a.weight": got}); got != model {
		t.Errorf("model %v, want %x", got, model)
	}
	if got.Short() != w[:12] || got.String() != w || got.IsZero() || !(Fingerprint{}).IsZero() {
		t.Errorf("prints as %s, %s", got.Short(), got)
	}
}

func TestFingerprintIgnoresTheFilesType(t *testing.T) {
	x := []float32{1, 2, 3, -0.5, 0, 7} // exact in every type
	y := []float32{1, 2, 3, 4}
	var prints []Fingerprint
	for _, dt := range []DType{F32, F16, BF16, F64} {
		f, err := open(encode(t, []Tensor{
			FromFloat32("x", dt, x, 2, 3), FromFloat32("y", dt, y, 2, 2),
			FromFloat32("norm", dt, y, 4),
		}, nil))
		if err != nil {
			t.Fatal(err)
		}
		p, err := HashSource(f, []string{"y", "x"})
		if err != nil {
			t.Fatal(err)
		}
		prints = append(prints, p)
	}
	want := HashModel(map[string]Fingerprint{"x": HashWeight(2, 3, x), "y": HashWeight(2, 2, y)})
	for i, p := range prints {
		if p != want {
			t.Errorf("file %d: %v, want %v", i, p, want)
		}
	}
}

// whole is a source that reads whole tensors alone.
type whole struct{ Source }

// A weight that is read in parts has the hash of all its numbers.
func TestFingerprintOfParts(t *testing.T) {
	for _, shape := range [][2]int{{700, 500}, {2, hashPart + 3}, {1, 1}} {
		x := make([]float32, shape[0]*shape[1])
		for i := range x {
			x[i] = float32(i % 251)
		}
		f, err := open(encode(t, []Tensor{FromFloat32("x", BF16, x, shape[0], shape[1])}, nil))
		if err != nil {
			t.Fatal(err)
		}
		want := HashModel(map[string]Fingerprint{"x": HashWeight(shape[0], shape[1], x)})
		for _, src := range []Source{f, whole{f}} {
			if got, err := HashSource(src, []string{"x"}); got != want || err != nil {
				t.Errorf("%v of %T: %v, want %v (%v)", shape, src, got, want, err)
			}
		}
	}
}

func TestFingerprintTellsApart(t *testing.T) {
	x := []float32{1, 2, 3, 4, 5, 6}
	h := HashWeight(2, 3, x)
	base := HashModel(map[string]Fingerprint{"x": h})
	moved := []float32{1, 2, 3, 4, 6, 5}
	for what, p := range map[string]Fingerprint{
		"shape":   HashModel(map[string]Fingerprint{"x": HashWeight(3, 2, x)}),
		"name":    HashModel(map[string]Fingerprint{"y": h}),
		"numbers": HashModel(map[string]Fingerprint{"x": HashWeight(2, 3, moved)}),
		"more":    HashModel(map[string]Fingerprint{"x": h, "y": h}),
		"none":    HashModel(nil),
	} {
		if p == base {
			t.Errorf("another %s has the same fingerprint", what)
		}
	}
}

func TestHashSourceRefuses(t *testing.T) {
	f, err := open(encode(t, []Tensor{FromFloat32("norm", F32, []float32{1}, 1),
		FromInt8("q", []int8{1}, 1, 1)}, nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"norm": `no matrix "norm"`, "gone": `no matrix "gone"`, "q": "want F32",
	} {
		_, err := HashSource(f, []string{name})
		refused(t, err, want)
	}
}

func TestParseFingerprint(t *testing.T) {
	p := HashWeight(1, 1, []float32{1})
	if got, err := ParseFingerprint(p.String()); err != nil || got != p {
		t.Error(got, err)
	}
	for _, s := range []string{"", p.Short(), p.String() + "00", strings.Repeat("x", 64)} {
		if _, err := ParseFingerprint(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

func BenchmarkHashWeight(b *testing.B) {
	w := make([]float32, 1<<20)
	b.SetBytes(int64(4 * len(w)))
	for b.Loop() {
		HashWeight(1<<10, 1<<10, w)
	}
}
