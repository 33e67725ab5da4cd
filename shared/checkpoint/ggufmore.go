package checkpoint

// More types of blocks that published GGUFs have, read and not written.
const (
	GGUFQ41 GGUFType = 3  // Q4_1: blocks of 32, an f16 scale and minimum, and 4 bits each
	GGUFQ50 GGUFType = 6  // Q5_0: Q4_0 with a fifth bit each
	GGUFQ51 GGUFType = 7  // Q5_1: Q4_1 with a fifth bit each
	GGUFQ2K GGUFType = 10 // Q2_K: blocks of 256, each 16 of them with a scale and a minimum of 4 bits
	GGUFQ3K GGUFType = 11 // Q3_K: blocks of 256, each 16 of them with a scale of 6 bits
	GGUFQ5K GGUFType = 13 // Q5_K: Q4_K with a fifth bit each
)

func (t GGUFType) moreBlocks() (ggufBlock, bool) {
	switch t {
	case GGUFQ41:
		return ggufBlock{"Q4_1", q8Block, 4 + q8Block/2, decodeQ41}, true
	case GGUFQ50:
		return ggufBlock{"Q5_0", q8Block, 2 + 4 + q8Block/2, decodeQ50}, true
	case GGUFQ51:
		return ggufBlock{"Q5_1", q8Block, 4 + 4 + q8Block/2, decodeQ51}, true
	case GGUFQ2K:
		return ggufBlock{"Q2_K", kBlock, 16 + kBlock/4 + 4, decodeQ2K}, true
	case GGUFQ3K:
		return ggufBlock{"Q3_K", kBlock, kBlock/8 + kBlock/4 + 12 + 2, decodeQ3K}, true
	case GGUFQ5K:
		return ggufBlock{"Q5_K", kBlock, 4 + 12 + kBlock/8 + kBlock/2, decodeQ5K}, true
	}
	return ggufBlock{}, false
}

// decodeQ41: y[i] = d·q[i] + m, the first 16 in the low halves of the bytes.
func decodeQ41(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[q8Block:], src[4+q8Block/2:] {
		fives(dst[:q8Block], fromHalf(le.Uint16(src)), fromHalf(le.Uint16(src[2:])), 0, src[4:])
	}
}

// decodeQ50: y[i] = d·(q[i] − 16); bit i of a word is the fifth of q[i].
func decodeQ50(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[q8Block:], src[6+q8Block/2:] {
		d := fromHalf(le.Uint16(src))
		fives(dst[:q8Block], d, -16*d, le.Uint32(src[2:]), src[6:])
	}
}

// decodeQ51: y[i] = d·q[i] + m.
func decodeQ51(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[q8Block:], src[8+q8Block/2:] {
		fives(dst[:q8Block], fromHalf(le.Uint16(src)), fromHalf(le.Uint16(src[2:])),
			le.Uint32(src[4:]), src[8:])
	}
}

// fives is y[i] = d·q[i] + m for 32 numbers of four bits, of which bit i of high is the fifth.
func fives(dst []float32, d, m float32, high uint32, q []byte) {
	for i := range q8Block / 2 {
		dst[i] = d*float32(uint32(q[i]&15)|high>>i&1<<4) + m
		dst[i+q8Block/2] = d*float32(uint32(q[i]>>4)|high>>(i+q8Block/2)&1<<4) + m
	}
}

// pairs is number i of a block of 256 that lies in two bits, those of the numbers i, i + 32, i + 64
// and i + 96 of each half in one byte.
func pairs(q []byte, i int) byte { return q[i/128*32+i%32] >> (i % 128 / 32 * 2) & 3 }

// decodeQ2K: y[i] = d·s[i/16]·q[i] − m·t[i/16], s the low and t the high half of a byte.
func decodeQ2K(dst []float32, src []byte) {
	const bytes = 16 + kBlock/4 + 4
	for ; len(dst) > 0; dst, src = dst[kBlock:], src[bytes:] {
		d, m := fromHalf(le.Uint16(src[80:])), fromHalf(le.Uint16(src[82:]))
		for i := range dst[:kBlock] {
			s := src[i/16]
			dst[i] = d*float32(s&15)*float32(pairs(src[16:80], i)) - m*float32(s>>4)
		}
	}
}

// decodeQ3K: y[i] = d·(s[i/16] − 32)·(q[i] − 4); bit i/32 of byte i%32 is the third of q[i]. Of the 16
// scales the low halves share eight bytes, and the two high bits lie four in a byte behind them.
func decodeQ3K(dst []float32, src []byte) {
	const bytes = kBlock/8 + kBlock/4 + 12 + 2
	for ; len(dst) > 0; dst, src = dst[kBlock:], src[bytes:] {
		d, packed := fromHalf(le.Uint16(src[bytes-2:])), src[96:108]
		for i := range dst[:kBlock] {
			j := i / 16
			s := packed[j%8]>>(j/8*4)&15 | packed[8+j%4]>>(j/4*2)&3<<4
			q := pairs(src[32:96], i) | src[i%32]>>(i/32)&1<<2
			dst[i] = d * float32(int(s)-32) * float32(int(q)-4)
		}
	}
}

// decodeQ5K: y[i] = d·s[i/32]·q[i] − m·t[i/32]; bit i/32 of byte i%32 is the fifth of q[i].
func decodeQ5K(dst []float32, src []byte) {
	const bytes = 16 + kBlock/8 + kBlock/2
	for ; len(dst) > 0; dst, src = dst[kBlock:], src[bytes:] {
		d, m := fromHalf(le.Uint16(src)), fromHalf(le.Uint16(src[2:]))
		high, q := src[16:48], src[48:bytes]
		for j := range kBlock / 32 {
			s, t := sixBits(src[4:16], j)
			for i, b := range q[j/2*32:][:32] {
				n := b>>(j%2*4)&15 | high[i]>>j&1<<4
				dst[32*j+i] = d*s*float32(n) - m*t
			}
		}
	}
}
