package task

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync"
)

// draft is one drawn problem with every answer the corpus might give to it.
type draft struct {
	prompt string
	key    string // canonical form; decides the split
	answer string // gold
	worked string // right, with its reasoning
	terse  string // right, at once
	sloppy string // wrong in a plausible way
	// sway in {-1, 0, +1} depends on the wording alone: as in real corpora, some ways of asking
	// come with careful answers more often than others.
	sway int
	// haste in {-1, 0, +1} also depends on the wording: how often a quick answer is a sloppy one.
	haste int
	// confused is the label that hurried annotators give to this question; "" when it is plain.
	confused string
	prog     *program // code only
	fname    string   // code only: the name of the function asked for
	subject  int      // style only: index of the fact asked about
}

// suiteTask is a generator with its checker; every task of the suite is one of these.
type suiteTask struct {
	name, doc, label string
	maxTokens        int
	sizes            [3]int // Train, Valid, Test
	// cut holds the shares of the key space in 1/256: hash < cut[0] is Test, < cut[1] is Valid.
	cut   [2]uint8
	draw  func(r *rng) draft
	item  func(d *draft, it *Item) // fills what is special; may be nil
	score func(it *Item, output string) float64

	once   [3]sync.Once
	tables [3][]uint64 // draw numbers of the distinct items of Valid and Test
}

// Sizes of the six tasks and of classify. Test and Valid take 16/256 and 8/256 of the key space.
var (
	usualSizes = [3]int{65536, 1000, 2000}
	usualCut   = [2]uint8{16, 24}
)

func (t *suiteTask) Name() string     { return t.name }
func (t *suiteTask) Doc() string      { return t.doc }
func (t *suiteTask) Label() string    { return t.label }
func (t *suiteTask) MaxTokens() int   { return t.maxTokens }
func (t *suiteTask) Size(s Split) int { return t.sizes[s] }

func (t *suiteTask) Score(it Item, output string) float64 { return t.score(&it, output) }

// Item draws the index-th problem of a split.
func (t *suiteTask) Item(s Split, index int) Item {
	if s < Train || s > Test || index < 0 || index >= t.sizes[s] {
		panic(fmt.Sprintf("task: %s: item %v/%d, want an index below its size", t.name, s, index))
	}
	var d draft
	if s == Train {
		r := newRNG(hashString(0, t.name), uint64(index))
		d = t.drawIn(&r, Train)
	} else {
		d = t.drawNumbered(t.table(s)[index])
	}
	it := Item{Task: t.name, Split: s, Index: index, Prompt: d.prompt,
		Answer: d.answer, Worked: d.worked, Label: t.label}
	if t.item != nil {
		t.item(&d, &it)
	}
	return it
}

// splitOf tells the split of a draft, by the hash of its canonical form.
func (t *suiteTask) splitOf(d *draft) Split {
	switch h := uint8(hashString(splitSalt, d.key) >> 32); {
	case h < t.cut[0]:
		return Test
	case h < t.cut[1]:
		return Valid
	}
	return Train
}

// splitSalt fixes the splits; another value is another suite.
const splitSalt = 0x74322d7375697465

// drawIn draws until the problem falls into the split.
func (t *suiteTask) drawIn(r *rng, s Split) draft {
	for {
		if d := t.draw(r); t.splitOf(&d) == s {
			return d
		}
	}
}

func (t *suiteTask) drawNumbered(n uint64) draft {
	r := newRNG(hashString(1, t.name), n)
	return t.draw(&r)
}

// table returns the draw numbers of a split's items, found once by going through the draws in
// order and keeping those whose prompt is new and whose key belongs to the split.
func (t *suiteTask) table(s Split) []uint64 {
	t.once[s].Do(func() {
		seen := make(map[string]bool, t.sizes[s])
		for n := uint64(0); len(t.tables[s]) < t.sizes[s]; n++ {
			if n > maxDraws {
				panic(fmt.Sprintf("task: %s: %v has %d distinct prompts, want %d",
					t.name, s, len(seen), t.sizes[s]))
			}
			d := t.drawNumbered(n)
			if t.splitOf(&d) != s || seen[d.prompt] {
				continue
			}
			seen[d.prompt] = true
			t.tables[s] = append(t.tables[s], n)
		}
	})
	return t.tables[s]
}

// maxDraws turns a size that the key space cannot fill into a panic instead of a hang.
const maxDraws = 5_000_000

// rng is PCG-DXSM with the few draws the generators need. They are written out here, not taken
// from rand.Rand, so that items stay the same for good.
type rng struct{ pcg rand.PCG }

func newRNG(seed, stream uint64) rng {
	return rng{*rand.NewPCG(mix64(seed), mix64(stream^seed))}
}

// n returns a number in [0, k).
func (r *rng) n(k int) int {
	hi, _ := bits.Mul64(r.pcg.Uint64(), uint64(k))
	return int(hi)
}

// between returns a number in [lo, hi].
func (r *rng) between(lo, hi int) int { return lo + r.n(hi-lo+1) }

// unit returns a number in [0, 1).
func (r *rng) unit() float64 { return float64(r.pcg.Uint64()>>11) / (1 << 53) }

// chance is true with probability p.
func (r *rng) chance(p float64) bool { return r.unit() < p }

// evenOdd is +1 for even numbers and -1 for odd ones.
func evenOdd(n int) int { return 1 - 2*(n&1) }

func pick[T any](r *rng, xs []T) T { return xs[r.n(len(xs))] }

// mix64 is the finalizer of splitmix64: near seeds become far streams.
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashString is FNV-1a over salt and s, finished by mix64 so that all its bits may be used.
func hashString(salt uint64, s string) uint64 {
	h := uint64(14695981039346656037) ^ mix64(salt)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix64(h)
}

// fill replaces each $x in a template by the value that follows "x" in slots; x is one letter.
func fill(template string, slots ...string) string {
	out := make([]byte, 0, len(template)+48)
	for i := 0; i < len(template); i++ {
		if template[i] != '$' || i+1 == len(template) {
			out = append(out, template[i])
			continue
		}
		i++
		for j := 0; j+1 < len(slots); j += 2 {
			if slots[j][0] == template[i] {
				out = append(out, slots[j+1]...)
				break
			}
		}
	}
	return string(out)
}
