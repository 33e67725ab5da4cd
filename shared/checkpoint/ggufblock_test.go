package checkpoint

import (
	"math/rand/v2"
	"testing"
)

// bitField puts bits of v into a block: bits of the number are at (byte, shift) pairs.
func bitField(b []byte, at, shift int, v byte) { b[at] |= v << shift }

// The K types hold what their published layouts say, told here from the number's side: where are
// the bits of number i?
func TestGGUFBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		checkQ4(t, rng)
		checkQ4K(t, rng)
		checkQ6K(t, rng)
	}
}

// decoded is a block of the type, twice in a row, so that the step between blocks is seen as well.
func decoded(t *testing.T, kind GGUFType, block []byte) []float32 {
	t.Helper()
	b, _ := kind.block()
	if len(block) != b.bytes {
		t.Fatalf("%s: a block of %d bytes, want %d", b.name, len(block), b.bytes)
	}
	out := make([]float32, 2*b.numbers)
	b.decode(out, append(append([]byte(nil), block...), block...))
	for i := range b.numbers {
		if out[i] != out[i+b.numbers] {
			t.Fatalf("%s: number %d is %g in the first block and %g in the second", b.name, i, out[i],
				out[i+b.numbers])
		}
	}
	return out[:b.numbers]
}

func checkQ4(t *testing.T, rng *rand.Rand) {
	block := make([]byte, 18)
	le.PutUint16(block, toHalf(0.5))
	want := make([]float32, 32)
	for i := range want {
		q := byte(rng.IntN(16))
		bitField(block, 2+i%16, i/16*4, q)
		want[i] = 0.5 * (float32(q) - 8)
	}
	same(t, "Q4_0", decoded(t, GGUFQ4, block), want)
}

func checkQ4K(t *testing.T, rng *rand.Rand) {
	block := make([]byte, 144)
	le.PutUint16(block, toHalf(0.25))
	le.PutUint16(block[2:], toHalf(2))
	var scale, minimum [8]byte
	for j := range scale {
		scale[j], minimum[j] = byte(rng.IntN(64)), byte(rng.IntN(64))
		if j < 4 {
			bitField(block, 4+j, 0, scale[j])
			bitField(block, 8+j, 0, minimum[j])
			continue
		}
		bitField(block, 8+j, 0, scale[j]&15)
		bitField(block, 8+j, 4, minimum[j]&15)
		bitField(block, j, 6, scale[j]>>4)
		bitField(block, 4+j, 6, minimum[j]>>4)
	}
	want := make([]float32, 256)
	for i := range want {
		q := byte(rng.IntN(16))
		bitField(block, 16+i/64*32+i%32, i%64/32*4, q)
		want[i] = 0.25*float32(scale[i/32])*float32(q) - 2*float32(minimum[i/32])
	}
	same(t, "Q4_K", decoded(t, GGUFQ4K, block), want)
}

func checkQ6K(t *testing.T, rng *rand.Rand) {
	block := make([]byte, 210)
	le.PutUint16(block[208:], toHalf(0.125))
	var scale [16]int8
	for j := range scale {
		scale[j] = int8(rng.IntN(256) - 128)
		block[192+j] = byte(scale[j])
	}
	want := make([]float32, 256)
	for i := range want {
		q := byte(rng.IntN(64))
		half, quarter, at := i/128, i%128/32, i%32
		bitField(block, half*64+quarter%2*32+at, quarter/2*4, q&15)
		bitField(block, 128+half*32+at, quarter*2, q>>4)
		want[i] = 0.125 * float32(scale[i/16]) * (float32(q) - 32)
	}
	same(t, "Q6_K", decoded(t, GGUFQ6K, block), want)
}

func same(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: number %d is %g, want %g", name, i, got[i], want[i])
		}
	}
}
