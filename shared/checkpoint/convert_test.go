package checkpoint

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// half is the value of an IEEE half by its definition.
func half(h uint16) float64 {
	sign := 1 - 2*float64(h>>15)
	e, f := int(h>>10&0x1f), float64(h&0x3ff)
	switch e {
	case 0:
		return sign * math.Ldexp(f, -24)
	case 31:
		if f != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+f, e-25)
}

func TestEveryHalf(t *testing.T) {
	for h := range 1 << 16 {
		got, want := float64(fromHalf(uint16(h))), half(uint16(h))
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) ||
			math.Signbit(got) != (h>>15 == 1) {
			t.Fatalf("half %04x is %v, want %v", h, got, want)
		}
		if back := toHalf(float32(want)); back != uint16(h) && !math.IsNaN(want) {
			t.Fatalf("half %04x comes back as %04x", h, back)
		}
	}
	if got := toHalf(float32(math.NaN())); !math.IsNaN(half(got)) {
		t.Errorf("NaN became %04x", got)
	}
}

// Between two neighbours the nearer wins, and of two as near the even one.
func TestHalfRoundsToNearestEven(t *testing.T) {
	for h := range uint16(0x7c00) {
		low, high := half(h), half(h+1)
		if h+1 == 0x7c00 {
			high = 65536 // where the next number would be
		}
		mid := (low + high) / 2 // exact in f32: 12 bits
		even := h + h&1
		for x, want := range map[float32]uint16{
			float32(mid):                        even,
			math.Nextafter32(float32(mid), 0):   h,
			math.Nextafter32(float32(mid), 1e9): h + 1,
		} {
			if got := toHalf(x); got != want {
				t.Fatalf("%v rounds to %04x, want %04x", x, got, want)
			}
			if got := toHalf(-x); got != want|0x8000 {
				t.Fatalf("%v rounds to %04x, want %04x", -x, got, want|0x8000)
			}
		}
	}
}

// bfloat16 has 8 bits of precision: big.Float rounds it, to nearest even, as the oracle.
func TestBrainRoundsToNearestEven(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for i := range 100_000 {
		x := math.Float32frombits(rng.Uint32())
		if i%2 == 0 { // a tie
			x = math.Float32frombits(math.Float32bits(x)&^0xffff | 0x8000)
		}
		a := math.Abs(float64(x))
		if !(a >= 0x1p-126 && a < 0x1.ffp127) { // subnormals have fewer bits; the rest is below
			continue
		}
		eight := new(big.Float).SetPrec(8).SetMode(big.ToNearestEven)
		want, _ := eight.SetFloat64(float64(x)).Float32()
		if got := math.Float32frombits(uint32(toBrain(x)) << 16); got != want {
			t.Fatalf("%v rounds to %v, want %v", x, got, want)
		}
	}
	for x, want := range map[float32]uint16{
		0: 0, float32(math.Inf(1)): 0x7f80, float32(math.Inf(-1)): 0xff80,
		math.MaxFloat32: 0x7f80, math.SmallestNonzeroFloat32: 0, 0x1p-133: 1,
	} {
		if got := toBrain(x); got != want {
			t.Errorf("%v rounds to %04x, want %04x", x, got, want)
		}
	}
	for _, bits := range []uint32{0x7f800001, 0x7fffffff, 0xffc00000} { // NaN stays NaN
		b := toBrain(math.Float32frombits(bits))
		if v := math.Float32frombits(uint32(b) << 16); v == v {
			t.Errorf("NaN %08x became %v", bits, v)
		}
	}
}
