package checkpoint

// ggufBlock is how a type's numbers lie: blocks along a row, each of the same number of bytes.
type ggufBlock struct {
	name    DType
	numbers int // of a block
	bytes   int // of a block
	decode  func(dst []float32, src []byte)
}

// space is the bytes of n numbers, n a multiple of a block's.
func (b ggufBlock) space(n int) int64 { return int64(n/b.numbers) * int64(b.bytes) }

// The quantised types that are read and not written.
const (
	GGUFQ4  GGUFType = 2  // Q4_0: blocks of 32, an f16 scale and 4 bits each
	GGUFQ4K GGUFType = 12 // Q4_K: blocks of 256, each 32 of them with a scale and a minimum of 6 bits
	GGUFQ6K GGUFType = 14 // Q6_K: blocks of 256, each 16 of them with a scale of 8 bits
)

// kBlock is the numbers of a block of the K types.
const kBlock = 256

// block is how a type lies; false for one that is not read. A function rather than a table, so that
// a program that reads no GGUF does not hold the decoders.
func (t GGUFType) block() (ggufBlock, bool) {
	switch t {
	case GGUFF32:
		return ggufBlock{F32, 1, 4, decoders[F32]}, true
	case GGUFF16:
		return ggufBlock{F16, 1, 2, decoders[F16]}, true
	case GGUFBF16:
		return ggufBlock{BF16, 1, 2, decoders[BF16]}, true
	case GGUFQ8:
		return ggufBlock{"Q8_0", q8Block, q8BlockBytes, decodeQ8}, true
	case GGUFQ4:
		return ggufBlock{"Q4_0", q8Block, 2 + q8Block/2, decodeQ4}, true
	case GGUFQ4K:
		return ggufBlock{"Q4_K", kBlock, 2 + 2 + 12 + kBlock/2, decodeQ4K}, true
	case GGUFQ6K:
		return ggufBlock{"Q6_K", kBlock, kBlock/2 + kBlock/4 + 16 + 2, decodeQ6K}, true
	}
	return t.moreBlocks()
}

// decodeQ8: y[i] = d·q[i].
func decodeQ8(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[q8Block:], src[q8BlockBytes:] {
		d := fromHalf(le.Uint16(src))
		for i, q := range src[2:q8BlockBytes] {
			dst[i] = d * float32(int8(q))
		}
	}
}

// decodeQ4: y[i] = d·(q[i] − 8), the first 16 in the low halves of the bytes.
func decodeQ4(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[q8Block:], src[2+q8Block/2:] {
		d := fromHalf(le.Uint16(src))
		for i, q := range src[2 : 2+q8Block/2] {
			dst[i] = d * float32(int(q&15)-8)
			dst[i+q8Block/2] = d * float32(int(q>>4)-8)
		}
	}
}

// decodeQ4K: y[i] = d·s[i/32]·q[i] − m·t[i/32]. A byte holds the numbers i and i + 32.
func decodeQ4K(dst []float32, src []byte) {
	const bytes = 16 + kBlock/2
	for ; len(dst) > 0; dst, src = dst[kBlock:], src[bytes:] {
		d, m := fromHalf(le.Uint16(src)), fromHalf(le.Uint16(src[2:]))
		packed, q := src[4:16], src[16:bytes]
		for part := range kBlock / 64 {
			s0, t0 := sixBits(packed, 2*part)
			s1, t1 := sixBits(packed, 2*part+1)
			d0, m0, d1, m1 := d*s0, m*t0, d*s1, m*t1
			y := dst[64*part:][:64]
			for i, b := range q[32*part:][:32] {
				y[i] = d0*float32(b&15) - m0
				y[i+32] = d1*float32(b>>4) - m1
			}
		}
	}
}

// sixBits is the scale and the minimum of the j-th 32 numbers of a Q4_K block. The first four are
// whole bytes' low six bits; of the last four the low halves share a byte and the two high bits
// lie above the first four.
func sixBits(p []byte, j int) (scale, minimum float32) {
	if j < 4 {
		return float32(p[j] & 63), float32(p[j+4] & 63)
	}
	return float32(p[j+4]&15 | p[j-4]>>6<<4), float32(p[j+4]>>4 | p[j]>>6<<4)
}

// decodeQ6K: y[i] = d·s[i/16]·(q[i] − 32). Of each 128 numbers the low four bits lie in 64 bytes,
// number i and i + 64 in one, and the high two in 32 bytes, i, i + 32, i + 64 and i + 96 in one.
func decodeQ6K(dst []float32, src []byte) {
	const bytes = kBlock/2 + kBlock/4 + 16 + 2
	for ; len(dst) > 0; dst, src = dst[kBlock:], src[bytes:] {
		d := fromHalf(le.Uint16(src[bytes-2:]))
		scales := src[192:208]
		for i := range dst[:kBlock] {
			half, at := i/128, i%128
			low := src[64*half+at%64] >> (at / 64 * 4) & 15
			high := src[128+32*half+at%32] >> (at / 32 * 2) & 3
			dst[i] = d * float32(int8(scales[i/16])) * float32(int(low|high<<4)-32)
		}
	}
}
