package devicetest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"transformer2/shared/compute"
)

// maxReports ends a check that fails everywhere before it floods the log.
const maxReports = 8

// env is what one check works with.
type env struct {
	r       reporter
	dev     compute.Device
	opt     Options
	rng     *rand.Rand
	label   string // the trial under way, for messages
	reports int
	worst   float64 // largest |got − want| / bound so far
	count   int     // trials begun; varies the guards
}

func (e *env) errorf(format string, args ...any) {
	e.r.Helper()
	e.r.Errorf("%s: %s", e.label, fmt.Sprintf(format, args...))
	if e.reports++; e.reports >= maxReports {
		e.r.Errorf("more failures left out")
		e.r.FailNow()
	}
}

// must ends the check when the device reports an error where none is expected.
func (e *env) must(err error) {
	e.r.Helper()
	if err != nil {
		e.r.Errorf("%s: %v", e.label, err)
		e.r.FailNow()
	}
}

// guards are the counts of NaN before and after a tensor, by turns: with an offset that suits any
// vector width, one that suits none, and none at all.
var guards = [][2]int{{64, 64}, {5, 3}, {0, 37}}

// tensor is a compute.Tensor inside a larger buffer whose other numbers are NaN.
type tensor struct {
	compute.Tensor
	full   compute.Tensor
	before []float32 // the whole buffer as written
	after  []float32 // the whole buffer as read back
	pre    int
	input  bool // must not change
}

// got is the content that read found, [Rows Cols].
func (x *tensor) got() []float32 { return x.after[x.pre : x.pre+x.Len()] }

// wide is the content as written, in float64.
func (x *tensor) wide() matrix {
	return matrix{x.Rows, x.Cols, wide(x.before[x.pre : x.pre+x.Len()])}
}

// ints is a compute.Ints inside a larger buffer.
type ints struct {
	compute.Ints
	full          compute.Ints
	before, after []int32
	pre           int
	input         bool
}

func (x *ints) got() []int32 { return x.after[x.pre : x.pre+x.N] }

// intGuard lies around ints: an id outside every table.
const intGuard = 1 << 30

// trial is one call of an op and what belongs to it.
type trial struct {
	*env
	tensors []*tensor
	ints    []*ints
	pads    [2]int
}

// begin starts a trial; the label names it in messages.
func (e *env) begin(format string, args ...any) *trial {
	e.label = fmt.Sprintf(format, args...)
	e.count++
	return &trial{env: e, pads: guards[e.count%len(guards)]}
}

// tensor makes [rows cols] with the content v.
func (c *trial) tensor(rows, cols int, v []float32) *tensor {
	n := rows * cols
	if len(v) != n {
		panic(fmt.Sprintf("devicetest: %d numbers for [%d %d]", len(v), rows, cols))
	}
	x := &tensor{pre: c.pads[0], before: make([]float32, c.pads[0]+n+c.pads[1])}
	for i := range x.before {
		x.before[i] = nan32
	}
	copy(x.before[x.pre:], v)
	full, err := c.dev.NewTensor(len(x.before), 1)
	c.must(err)
	x.full = full
	x.Tensor = full.Slice(x.pre, x.pre+n).Reshape(rows, cols)
	c.dev.Write(full, x.before)
	c.tensors = append(c.tensors, x)
	return x
}

// in makes an input: the op must leave it as it is.
func (c *trial) in(rows, cols int, v []float32) *tensor {
	x := c.tensor(rows, cols, v)
	x.input = true
	return x
}

// normal makes an input of standard normal numbers.
func (c *trial) normal(rows, cols int) *tensor { return c.in(rows, cols, normal(c.rng, rows*cols)) }

// out makes an output that the op overwrites: all NaN before.
func (c *trial) out(rows, cols int) *tensor {
	return c.tensor(rows, cols, repeat(nan32, rows*cols))
}

// acc makes a tensor that the op updates, from standard normal numbers.
func (c *trial) acc(rows, cols int) *tensor {
	return c.tensor(rows, cols, normal(c.rng, rows*cols))
}

// inInts makes input ints.
func (c *trial) inInts(v []int32) *ints {
	x := &ints{pre: c.pads[0], before: make([]int32, c.pads[0]+len(v)+c.pads[1]), input: true}
	for i := range x.before {
		x.before[i] = intGuard
	}
	copy(x.before[x.pre:], v)
	full, err := c.dev.NewInts(len(x.before))
	c.must(err)
	x.full = full
	x.Ints = full.Slice(x.pre, x.pre+len(v))
	c.dev.WriteInts(full, x.before)
	c.ints = append(c.ints, x)
	return x
}

// outInts makes ints that the op overwrites.
func (c *trial) outInts(n int) *ints {
	v := make([]int32, n)
	for i := range v {
		v[i] = -intGuard
	}
	x := c.inInts(v)
	x.input = false
	return x
}

// weight packs src [out in] and returns the weight with its rounded numbers.
func (c *trial) weight(t compute.DType, out, in int, src []float32) (compute.Weight, matrix) {
	w, err := c.dev.NewWeight(t, out, in)
	c.must(err)
	s := c.in(out, in, src)
	d := c.out(out, in)
	c.dev.Pack(w, s.Tensor)
	c.dev.Unpack(d.Tensor, w)
	c.read()
	d.before, d.input = d.after, true
	return w, d.wide()
}

// run calls op, reads everything back and checks the edges; then, unless told otherwise, restores
// what op changed, calls it again and compares the bits.
func (c *trial) run(op func()) {
	c.r.Helper()
	op()
	c.read()
	if c.opt.Once {
		return
	}
	first := make([][]float32, len(c.tensors))
	for i, x := range c.tensors {
		first[i] = x.after
		if !x.input {
			c.dev.Write(x.full, x.before)
		}
	}
	firstInts := make([][]int32, len(c.ints))
	for i, x := range c.ints {
		firstInts[i] = x.after
		if !x.input {
			c.dev.WriteInts(x.full, x.before)
		}
	}
	op()
	c.read()
	for i, x := range c.tensors {
		if j := differ(first[i], x.after); j >= 0 {
			c.errorf("second call gives other bits: %v[%d] = %v, then %v", x.Tensor,
				j-x.pre, first[i][j], x.after[j])
		}
	}
	for i, x := range c.ints {
		for j, v := range x.after {
			if v != firstInts[i][j] {
				c.errorf("second call gives other ints: [%d] = %d, then %d", j-x.pre,
					firstInts[i][j], v)
				break
			}
		}
	}
}

// read reads every buffer whole and checks what had to survive.
func (c *trial) read() {
	c.r.Helper()
	for _, x := range c.tensors {
		x.after = make([]float32, len(x.before))
		c.must(c.dev.Read(x.after, x.full))
		c.survived(x)
	}
	for _, x := range c.ints {
		x.after = make([]int32, len(x.before))
		c.must(c.dev.ReadInts(x.after, x.full))
		for j, v := range x.after {
			inside := j >= x.pre && j < x.pre+x.N
			if v != x.before[j] && (x.input || !inside) {
				c.errorf("ints [%d] of %d: was %d, now %d", j-x.pre, x.N, x.before[j], v)
				break
			}
		}
	}
}

// survived checks the guards of x, and its content when it is an input.
func (c *trial) survived(x *tensor) {
	c.r.Helper()
	lo, hi := x.pre, x.pre+x.Len()
	if x.input {
		lo, hi = 0, 0
	}
	j := differ(x.before[:lo], x.after[:lo])
	if j < 0 {
		if j = differ(x.before[hi:], x.after[hi:]); j >= 0 {
			j += hi
		}
	}
	if j >= 0 {
		c.errorf("number %d of %v must not change: was %v, now %v", j-x.pre, x.Tensor,
			x.before[j], x.after[j])
	}
}

// end gives the trial's buffers back.
func (c *trial) end() {
	for _, x := range c.tensors {
		c.dev.Free(x.full.Buf)
	}
	for _, x := range c.ints {
		c.dev.Free(x.full.Buf)
	}
}

// differ is the first index at which a and b have different bits, or −1.
func differ(a, b []float32) int {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}

// within checks got against the oracle's answer, number by number.
func (e *env) within(what string, got []float32, want answer) {
	e.r.Helper()
	bad, at := 0, 0
	for i, g := range got {
		w, tol := want.v[i], want.tol[i]+flush
		d := math.Abs(float64(g) - w)
		if float64(g) == w { // also equal infinities
			d = 0
		}
		if !(d <= tol) {
			if bad == 0 {
				at = i
			}
			bad++
			continue
		}
		e.worst = max(e.worst, d/tol)
	}
	if bad > 0 {
		e.errorf("%s: %d of %d wrong, first [%d]: got %v, want %v ± %.2g", what, bad, len(got), at,
			got[at], want.v[at], want.tol[at])
	}
}

// same checks got against exact numbers; any NaN equals any other.
func (e *env) same(what string, got, want []float32) {
	e.r.Helper()
	for i, g := range got {
		w := want[i]
		if math.Float32bits(g) != math.Float32bits(w) && (g == g || w == w) {
			e.errorf("%s: [%d]: got %v (%#08x), want %v (%#08x)", what, i,
				g, math.Float32bits(g), w, math.Float32bits(w))
			return
		}
	}
}
