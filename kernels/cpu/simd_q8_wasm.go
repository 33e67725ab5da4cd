//go:build goexperiment.simd && wasm

package cpu

import (
	"simd/archsimd"
	"unsafe"
)

// q8Row is the q8Func of one row. Columns are lanes: the products of two inputs fit 16 bits
// (2·127² < 2¹⁵) and are widened once for both.
func q8Row(blocks int, x *byte, _ int, w *byte, panels int, y *float32, _ int, mask uint32) {
	for q := range panels {
		var sum [nr]float32
		q8Panel(blocks, unsafe.Pointer(x), unsafe.Add(unsafe.Pointer(w), q*blocks*q8Bytes),
			unsafe.Pointer(&sum))
		storePanel(y, &sum, q, panels, mask)
	}
}

func q8Panel(blocks int, x, w, sum unsafe.Pointer) {
	for b := range blocks {
		xb, wb := unsafe.Add(x, b*q8InputBytes), unsafe.Add(w, b*q8Bytes)
		var s0, s1, s2, s3, s4, s5, s6, s7 archsimd.Int32x4
		for l := uintptr(0); l < q8Block; l += 2 {
			xl, wl := unsafe.Add(xb, l), unsafe.Add(wb, q8Scales+l*nr)
			x0, x1 := bytesOf(xl, 0), bytesOf(xl, 1)
			a, c := bytesAt(wl, 0), bytesAt(wl, nr)
			p, r := a.MulWidenLo(x0).Add(c.MulWidenLo(x1)), a.MulWidenHi(x0).Add(c.MulWidenHi(x1))
			s0, s1 = s0.Add(p.ExtendLo4ToInt32()), s1.Add(p.ExtendHi4ToInt32())
			s2, s3 = s2.Add(r.ExtendLo4ToInt32()), s3.Add(r.ExtendHi4ToInt32())
			a, c = bytesAt(wl, 16), bytesAt(wl, nr+16)
			p, r = a.MulWidenLo(x0).Add(c.MulWidenLo(x1)), a.MulWidenHi(x0).Add(c.MulWidenHi(x1))
			s4, s5 = s4.Add(p.ExtendLo4ToInt32()), s5.Add(p.ExtendHi4ToInt32())
			s6, s7 = s6.Add(r.ExtendLo4ToInt32()), s7.Add(r.ExtendHi4ToInt32())
		}
		scale := archsimd.BroadcastFloat32x4(*(*float32)(unsafe.Add(xb, q8Block)))
		addScaled(sum, wb, 0, scale, s0)
		addScaled(sum, wb, 16, scale, s1)
		addScaled(sum, wb, 32, scale, s2)
		addScaled(sum, wb, 48, scale, s3)
		addScaled(sum, wb, 64, scale, s4)
		addScaled(sum, wb, 80, scale, s5)
		addScaled(sum, wb, 96, scale, s6)
		addScaled(sum, wb, 112, scale, s7)
	}
}

func bytesAt(p unsafe.Pointer, o uintptr) archsimd.Int8x16 {
	return archsimd.LoadInt8x16Array((*[16]int8)(unsafe.Add(p, o)))
}

func bytesOf(p unsafe.Pointer, o uintptr) archsimd.Int8x16 {
	return archsimd.BroadcastInt8x16(*(*int8)(unsafe.Add(p, o)))
}

// addScaled adds four columns' sums of a block, o bytes on among the scales.
func addScaled(sum, scales unsafe.Pointer, o uintptr, x f32x4, s archsimd.Int32x4) {
	storeAt(sum, o, loadAt(sum, o).Add(s.ConvertToFloat32().Mul(loadAt(scales, o).Mul(x))))
}

// widenQ8Wasm: a row of a block is 32 columns of one input.
func widenQ8Wasm(dst []float32, src []byte) {
	for o := 0; o < len(dst); o += q8Block * nr {
		d, block := unsafe.Pointer(&dst[o]), unsafe.Pointer(&src[o/(q8Block*nr)*q8Bytes])
		for c := uintptr(0); c < nr; c += 16 {
			s0, s1 := loadAt(block, 4*c), loadAt(block, 4*c+16)
			s2, s3 := loadAt(block, 4*c+32), loadAt(block, 4*c+48)
			for l := uintptr(0); l < q8Block; l++ {
				v, at := bytesAt(block, q8Scales+l*nr+c), unsafe.Add(d, 4*(l*nr+c))
				lo, hi := v.ExtendLo8ToInt16(), v.ExtendHi8ToInt16()
				storeAt(at, 0, lo.ExtendLo4ToInt32().ConvertToFloat32().Mul(s0))
				storeAt(at, 16, lo.ExtendHi4ToInt32().ConvertToFloat32().Mul(s1))
				storeAt(at, 32, hi.ExtendLo4ToInt32().ConvertToFloat32().Mul(s2))
				storeAt(at, 48, hi.ExtendHi4ToInt32().ConvertToFloat32().Mul(s3))
			}
		}
	}
}

// quantizeSimd is quantizeLoop: adding 1.5·2²³ leaves a number rounded half to even in the low bits.
func quantizeSimd(dst []byte, x []float32) {
	const least = 0x1p-119
	magic := archsimd.BroadcastFloat32x4(0x1.8p23)
	for ; len(x) > 0; dst, x = dst[q8InputBytes:], x[q8Block:] {
		xp := unsafe.Pointer(&x[0])
		most := f32x4{}
		for o := uintptr(0); o < 4*q8Block; o += 16 {
			most = most.Max(loadAt(xp, o).Abs())
		}
		top := max(most.GetElem(0), most.GetElem(1), most.GetElem(2), most.GetElem(3))
		scale, factor := top/127, 127/top
		if top < least {
			scale, factor = 0, 0
		}
		f := archsimd.BroadcastFloat32x4(factor)
		var q [4]int32
		for l := uintptr(0); l < q8Block; l += 4 {
			loadAt(xp, 4*l).Mul(f).Add(magic).ToBits().BitsToInt32().StoreArray(&q)
			dst[l], dst[l+1], dst[l+2], dst[l+3] = byte(q[0]), byte(q[1]), byte(q[2]), byte(q[3])
		}
		*(*float32)(unsafe.Pointer(&dst[q8Block])) = scale
		*(*int32)(unsafe.Pointer(&dst[q8Block+4])) = 0 // q8Zero is 0
	}
}
