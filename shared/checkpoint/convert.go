package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
)

var le = binary.LittleEndian

// decoders convert len(dst) numbers of src. Each has its inverse in encoders.
var decoders = map[DType]func(dst []float32, src []byte){
	F32: func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(src[4*i:]))
		}
	},
	F16: func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = fromHalf(le.Uint16(src[2*i:]))
		}
	},
	BF16: func(dst []float32, src []byte) {
		for ; len(dst) >= 4 && len(src) >= 8; dst, src = dst[4:], src[8:] {
			v, d := le.Uint64(src), (*[4]float32)(dst)
			d[0], d[1] = math.Float32frombits(uint32(v)<<16), math.Float32frombits(uint32(v)&0xffff0000)
			d[2] = math.Float32frombits(uint32(v>>32) << 16)
			d[3] = math.Float32frombits(uint32(v>>32) & 0xffff0000)
		}
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(le.Uint16(src[2*i:])) << 16)
		}
	},
	F64: func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = float32(math.Float64frombits(le.Uint64(src[8*i:])))
		}
	},
}

// encoders convert src into dst, rounding to nearest, ties to even.
var encoders = map[DType]func(dst []byte, src []float32){
	F32: func(dst []byte, src []float32) {
		for i, v := range src {
			le.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	},
	F16: func(dst []byte, src []float32) {
		for i, v := range src {
			le.PutUint16(dst[2*i:], toHalf(v))
		}
	},
	BF16: func(dst []byte, src []float32) {
		for i, v := range src {
			le.PutUint16(dst[2*i:], toBrain(v))
		}
	},
	F64: func(dst []byte, src []float32) {
		for i, v := range src {
			le.PutUint64(dst[8*i:], math.Float64bits(float64(v)))
		}
	},
}

// Holds refuses finite numbers that would be infinite as t: F16 ends at 65504.
func (t DType) Holds(data []float32) error {
	if t != F16 && t != BF16 {
		return nil
	}
	var narrow [2]byte
	var back [1]float32
	for i, v := range data {
		// All but the largest of either type are out of the question.
		if a := v - v; a == 0 && (v >= 65504 || v <= -65504) {
			encoders[t](narrow[:], data[i:i+1])
			if decoders[t](back[:], narrow[:]); back[0]-back[0] != 0 {
				return fmt.Errorf("number %d is %v, which is more than %s holds", i, v, t)
			}
		}
	}
	return nil
}

// fromHalf widens an IEEE half exactly.
func fromHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	rest := uint32(h & 0x7fff)
	switch {
	case rest >= 0x7c00: // Inf, NaN: the payload moves up with the fraction
		return math.Float32frombits(sign | 0x7f800000 | (rest&0x3ff)<<13)
	case rest >= 0x0400: // normal: the exponent's bias goes from 15 to 127
		return math.Float32frombits(sign | (rest<<13 + 112<<23))
	}
	// Zero or subnormal: rest·2⁻²⁴ is exact in f32.
	v := float32(rest) * (1.0 / (1 << 24))
	return math.Float32frombits(sign | math.Float32bits(v))
}

// toHalf rounds to an IEEE half, nearest, ties to even; too large gives Inf.
func toHalf(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN stays NaN
		return sign | 0x7e00
	case b >= 0x477ff000: // 65520 and above round to Inf
		return sign | 0x7c00
	case b < 0x38800000: // below 2⁻¹⁴: adding ½ puts the last bit of a half at the last of f32
		v := math.Float32frombits(b) + 0.5
		return sign | uint16(math.Float32bits(v)-0x3f000000)
	}
	b += 0xfff + (b >> 13 & 1) // half of the last kept bit, ties to even
	return sign | uint16((b-112<<23)>>13)
}

// toBrain rounds to bfloat16, nearest, ties to even.
func toBrain(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 { // rounding could turn a NaN into Inf
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + (b >> 16 & 1)) >> 16)
}
