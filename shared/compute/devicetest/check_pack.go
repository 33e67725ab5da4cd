package devicetest

import (
	"encoding/binary"
	"errors"
	"math"

	"transformer2/shared/compute"
)

// roundTo is x rounded half to even to a binary format of so many significand bits (with the hidden
// one) and least normal exponent; above the largest finite number it is infinite.
func roundTo(x float32, bits, minExp int, largest float64) float32 {
	v := float64(x)
	if v != v || math.IsInf(v, 0) || v == 0 {
		return x
	}
	_, exp := math.Frexp(v) // |v| in [2^(exp−1), 2^exp)
	quantum := math.Ldexp(1, max(exp-1, minExp)-(bits-1))
	r := math.RoundToEven(v/quantum) * quantum
	if math.Abs(r) > largest {
		r = math.Inf(int(math.Copysign(1, v)))
	}
	return float32(math.Copysign(r, v))
}

func roundF16(x float32) float32  { return roundTo(x, 11, -14, 65504) }
func roundBF16(x float32) float32 { return roundTo(x, 8, -126, 0x1.fep127) }

// halfway are numbers at, just below and just above the ties of f16 and bf16, and their ends.
func halfway() []float32 {
	x := []float32{0, float32(math.Copysign(0, -1)), 1, 65504, 65519, 65520, 65536, 1e30,
		math.MaxFloat32, 0x1.fep127, 0x1.fefffep127, 0x1.ffp127, float32(math.Inf(1)), nan32,
		0x1p-14, 0x1p-24, 0x1p-25, 0x1.000002p-25, 0x1.8p-24, 0x1.8p-25, 0x1.ffcp-15, 0x1.ffep-15,
		0x1p-126, 0x1.01p-126, 0x1.018p-120, 1e-30}
	for _, base := range []float32{1, 1.5, 1024, 0x1p-13, 0x1p-14, 0x1p-16} {
		for _, step := range []float32{0x1p-8, 3 * 0x1p-8, 0x1p-11, 3 * 0x1p-11} {
			tie := base + base*step
			x = append(x, tie, math.Nextafter32(tie, 0), math.Nextafter32(tie, 1e9))
		}
	}
	for _, v := range x {
		x = append(x, -v)
	}
	return x
}

// checkPack: f32 is kept, f16 and bf16 round half to even, and to pack what was unpacked changes
// nothing.
func checkPack(e *env) {
	exact := map[compute.DType]func(float32) float32{
		compute.F32: func(x float32) float32 { return x }, compute.F16: roundF16,
		compute.BF16: roundBF16}
	for _, t := range dtypes[:3] {
		for _, s := range keep(e, sizes) {
			c := e.begin("%v %v", t, s)
			v := spread(e.rng, s[0]*s[1], 1e-7, 1e5)
			copy(v[len(v)/2:], halfway())
			src, d, again := c.in(s[0], s[1], v), c.out(s[0], s[1]), c.out(s[0], s[1])
			w, err := e.dev.NewWeight(t, s[0], s[1])
			e.must(err)
			w2, err := e.dev.NewWeight(t, s[0], s[1])
			e.must(err)
			c.run(func() {
				e.dev.Pack(w, src.Tensor)
				e.dev.Unpack(d.Tensor, w)
				e.dev.Pack(w2, d.Tensor)
				e.dev.Unpack(again.Tensor, w2)
			})
			want := make([]float32, len(v))
			for i, x := range v {
				want[i] = exact[t](x)
			}
			e.same("rounded", d.got(), want)
			e.same("packed again", again.got(), want)
			c.end()
		}
	}
}

const (
	// scaleTol: max|w|/127 and scale·q are one division and one product, the division of a GPU
	// within 2.5 ulp.
	scaleTol = divide + 2*unit
	// tieTol: how near to a tie w/scale may be before the direction of its rounding is the
	// device's: |w/scale| ≤ 127 with a relative error of two divisions.
	tieTol = 127 * 4 * divide
)

// checkPackBlocks checks each block of Q8 or Q4 against its scale, and q = round half to
// even(w/scale) within the type's range.
func checkPackBlocks(e *env, t compute.DType) {
	for _, s := range keep(e, [][2]int{{1, 32}, {1, 64}, {7, 32}, {31, 96}, {32, 128}, {33, 384},
		{100, 160}, {65, 64}}) {
		c := e.begin("%v", s)
		n := s[0] * s[1]
		v := normal(e.rng, n)
		for b := 0; b < n; b += compute.BlockQ8 {
			fillBlock(e, v[b:b+compute.BlockQ8], b/compute.BlockQ8)
		}
		src, d, again := c.in(s[0], s[1], v), c.out(s[0], s[1]), c.out(s[0], s[1])
		w, err := e.dev.NewWeight(t, s[0], s[1])
		e.must(err)
		w2, err := e.dev.NewWeight(t, s[0], s[1])
		e.must(err)
		c.run(func() {
			e.dev.Pack(w, src.Tensor)
			e.dev.Unpack(d.Tensor, w)
			e.dev.Pack(w2, d.Tensor)
			e.dev.Unpack(again.Tensor, w2)
		})
		for b := 0; b < n; b += compute.BlockQ8 {
			checkBlock(e, t, b/compute.BlockQ8, v[b:b+compute.BlockQ8], d.got()[b:b+compute.BlockQ8])
		}
		want := answer{wide(d.got()), make([]float64, n)}
		for i, x := range want.v { // the same q; the scale may round once more
			want.tol[i] = math.Abs(x) * 2 * scaleTol
		}
		e.within("packed again", again.got(), want)
		c.end()
	}
}

// checkPackFrom: rows that are read as they are packed give the weight that Pack gives of all of
// them, and an error of theirs comes back.
func checkPackFrom(e *env) {
	for _, t := range dtypes {
		for _, s := range keep(e, [][2]int{{1, 32}, {77, 96}, {32, 6}, {13, 160}, {301, 38}, {40, 5}}) {
			if t.Blocked() && s[1]%compute.BlockQ8 != 0 {
				continue
			}
			c := e.begin("%v %v", t, s)
			src := normal(e.rng, s[0]*s[1])
			whole, want := c.weight(t, s[0], s[1], src)
			w, err := e.dev.NewWeight(t, s[0], s[1])
			e.must(err)
			e.must(e.dev.PackFrom(w, func(lo int, rows []float32) error {
				copy(rows, src[lo*s[1]:])
				return nil
			}))
			from, d := w, c.out(s[0], s[1])
			if t == compute.BF16 && s[1]%2 == 0 {
				from = packBytes(e, want)
			}
			bytes := c.out(s[0], s[1])
			c.run(func() {
				e.dev.Unpack(d.Tensor, w)
				e.dev.Unpack(bytes.Tensor, from)
			})
			e.same("rows", d.got(), narrow(want.v))
			e.same("bytes", bytes.got(), narrow(want.v))
			broken := errors.New("broken")
			err = e.dev.PackFrom(w, func(int, []float32) error { return broken })
			if !errors.Is(err, broken) {
				e.errorf("rows that cannot be read: %v, want %v", err, broken)
			}
			if from != w {
				e.dev.Free(from)
			}
			e.dev.Free(w)
			e.dev.Free(whole)
			c.end()
		}
	}
}

// packBytes is a weight of the same numbers from the bytes of a file.
func packBytes(e *env, m matrix) compute.Weight {
	w, err := e.dev.NewWeight(compute.BF16, m.rows, m.cols)
	e.must(err)
	broken := errors.New("broken")
	if err := e.dev.PackBytes(w, func(int, []byte) error { return broken }); !errors.Is(err, broken) {
		e.errorf("bytes that cannot be read: %v, want %v", err, broken)
	}
	e.must(e.dev.PackBytes(w, func(lo int, rows []byte) error {
		for i := range len(rows) / 2 {
			bits := math.Float32bits(float32(m.v[lo*m.cols+i]))
			binary.LittleEndian.PutUint16(rows[2*i:], uint16(bits>>16))
		}
		return nil
	}))
	return w
}

// fillBlock makes blocks of many kinds by turns.
func fillBlock(e *env, x []float32, kind int) {
	switch kind % 7 {
	case 1: // all zero: a scale of 0 must not give NaN
		copy(x, make([]float32, len(x)))
	case 2: // a scale of 2^-3 exactly, and ties: q + ½ for every parity and sign
		for i := range x {
			x[i] = (float32(i*7-112) + 0.5) / 8
		}
		x[31] = 127.0 / 8
	case 3:
		copy(x, spread(e.rng, len(x), 1e-30, 1e-25))
	case 4:
		copy(x, spread(e.rng, len(x), 1e20, 1e30))
	case 5: // one large number hides the others
		scaled(x, 1e-4)
		x[e.rng.IntN(len(x))] = -1
	case 6: // the same for 4 bits: a scale of −¼, the first of two greatest, ties, and a q of 8
		for i := range x {
			x[i] = (float32(i%15-7) + 0.5) / 4
		}
		x[9], x[20] = 2, -2
	}
}

// blockScale is the scale of a block and the least and greatest q.
func blockScale(t compute.DType, src []float32) (scale, lo, hi float64) {
	m := 0.0
	for _, v := range src {
		if math.Abs(float64(v)) > math.Abs(m) {
			m = float64(v)
		}
	}
	if t == compute.Q4 {
		return -m / 8, -8, 7
	}
	return math.Abs(m) / 127, -127, 127
}

func checkBlock(e *env, t compute.DType, block int, src, got []float32) {
	e.r.Helper()
	scale, lo, hi := blockScale(t, src)
	for i, v := range src {
		g := float64(got[i])
		if scale == 0 {
			if g != 0 {
				e.errorf("block %d of zeros: [%d] = %v", block, i, g)
				return
			}
			continue
		}
		ratio := float64(v) / scale
		value := func(q float64) float64 { return max(lo, min(hi, q)) * scale }
		want := value(math.RoundToEven(ratio))
		d := math.Abs(g - want)
		lower := math.Floor(ratio)
		if near := math.Abs(ratio - lower - 0.5); near > 0 && near < tieTol {
			d = min(math.Abs(g-value(lower)), math.Abs(g-value(lower+1)))
		}
		if tol := (math.Abs(want) + math.Abs(scale)) * scaleTol; !(d <= tol) {
			e.errorf("block %d [%d]: %v is %v scales of %v: got %v, want %v", block, i, v, ratio,
				scale, g, want)
			return
		}
	}
}
