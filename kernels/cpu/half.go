package cpu

import "math"

// fromBF16 and fromF16 are exact. toBF16 and toF16 round half to even, as IEEE 754 does; a NaN
// stays one and what is too large becomes an infinity.

func fromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// bf16At is where column j of a row of a panel of BF16 lies: 0, 16, 1, 17, …
func bf16At(j int) int { return j%(nr/2)*2 + j/(nr/2) }

func toBF16(f float32) uint16 {
	u := math.Float32bits(f)
	if f != f {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

func fromF16(h uint16) float32 {
	const rebias = 0x77800000 // 2^112: moves the exponent's bias from 15 to 127
	sign := uint32(h&0x8000) << 16
	if h&0x7c00 == 0x7c00 {
		return math.Float32frombits(sign | 0x7f800000 | uint32(h&0x3ff)<<13)
	}
	v := math.Float32frombits(uint32(h&0x7fff)<<13) * math.Float32frombits(rebias)
	return math.Float32frombits(math.Float32bits(v) | sign)
}

func toF16(f float32) uint16 {
	u := math.Float32bits(f)
	sign := uint16(u >> 16 & 0x8000)
	u &= 0x7fffffff
	switch {
	case u > 0x7f800000:
		return sign | 0x7e00
	case u >= 0x47800000: // ≥ 2^16
		return sign | 0x7c00
	case u < 0x38800000: // below the least normal 2^−14: the sum's last bit weighs 2^−24
		v := math.Float32frombits(u) + 0.5
		return sign | uint16(math.Float32bits(v)-math.Float32bits(0.5))
	}
	u += 0xc8000fff + u>>13&1 // −112 to the exponent, and round half to even
	return sign | uint16(u>>13)
}
