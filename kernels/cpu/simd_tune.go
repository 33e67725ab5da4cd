//go:build goexperiment.simd && !wasm

package cpu

import (
	"simd"
	"unsafe"
)

// tune leaves the portable form as it is: where it is not the best there is, others come first.
func tune(f *form) { f.widenQ8 = widenQ8Simd }

// widenQ8Simd: a word is inputs 4g … 4g+3 of a column.
func widenQ8Simd(dst []float32, src []byte) {
	lanes := simd.Float32s{}.Len()
	low, zero := simd.BroadcastUint32s(0xff), simd.BroadcastInt32s(q8Zero)
	dp := unsafe.SliceData(dst)
	for o := 0; o < len(dst); o += q8Block * nr {
		block := unsafe.Slice((*uint32)(unsafe.Pointer(&src[o/(q8Block*nr)*q8Bytes])), q8Bytes/4)
		scales := (*float32)(unsafe.Pointer(&block[0]))
		for j := 0; j < nr; j += lanes {
			s := load(scales, j)
			for g := range q8Block / 4 {
				v, at := simd.LoadUint32s(block[nr+g*nr+j:]), o+4*g*nr+j
				store(dp, at, v.And(low).BitsToInt32().Sub(zero).ConvertToFloat32().Mul(s))
				for r := 1; r < 4; r++ {
					v = v.ShiftAllRight(8)
					q := v.And(low).BitsToInt32().Sub(zero)
					store(dp, at+r*nr, q.ConvertToFloat32().Mul(s))
				}
			}
		}
	}
}
