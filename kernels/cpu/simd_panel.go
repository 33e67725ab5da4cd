//go:build goexperiment.simd

package cpu

import (
	"simd"
	"unsafe"
)

func panelF16Simd(k int, x *float32, _ int, w *uint16, ldw, panels int, y *float32, _ int,
	acc int, mask uint32) {
	ws, xs := unsafe.Slice(w, (panels-1)*ldw+k*nr), unsafe.Slice(x, k)
	for q := range panels {
		var sum [nr]float32
		panelSums(&sum, y, q, panels, acc, mask)
		f16Row(&sum, ws[q*ldw:q*ldw+k*nr], xs)
		storePanel(y, &sum, q, panels, mask)
	}
}

func panelBF16Simd(k int, x *float32, _ int, w *uint16, ldw, panels int, y *float32, _ int,
	acc int, mask uint32) {
	ws, xs := unsafe.Slice(w, (panels-1)*ldw+k*nr), unsafe.Slice(x, k)
	for q := range panels {
		var sum [nr]float32
		panelSums(&sum, y, q, panels, acc, mask)
		bf16Row(&sum, ws[q*ldw:q*ldw+k*nr], xs)
		storePanel(y, &sum, q, panels, mask)
	}
}

// f16Row adds panel w [len(x)][32] times x to sums: a word is columns 2j and 2j+1, which are summed
// apart.
func f16Row(sums *[nr]float32, w []uint16, x []float32) {
	var even, odd [nr / 2]float32
	for j := range even {
		even[j], odd[j] = sums[2*j], sums[2*j+1]
	}
	f16Words(&even[0], &odd[0], words(w), unsafe.SliceData(x), len(x))
	for j := range even {
		sums[2*j], sums[2*j+1] = even[j], odd[j]
	}
}

func f16Words(even, odd *float32, ws []uint32, x *float32, k int) {
	lanes := simd.Float32s{}.Len()
	for j := 0; j < nr/2; j += lanes {
		s0, s1 := load(even, j), load(odd, j)
		for l := range k {
			v := simd.LoadUint32s(ws[l*nr/2+j:])
			xv := simd.BroadcastFloat32s(*at(x, l))
			s0 = fromF16v(v.ShiftAllLeft(16)).MulAdd(xv, s0)
			s1 = fromF16v(v).MulAdd(xv, s1)
		}
		store(even, j, s0)
		store(odd, j, s1)
	}
}

// fromF16v is the f16 in the upper half of each word, as fromF16 does it.
func fromF16v(v simd.Uint32s) simd.Float32s {
	sign := v.And(simd.BroadcastUint32s(0x80000000))
	bits := v.And(simd.BroadcastUint32s(0x7fff0000)).ShiftAllRight(3)
	f := bits.BitsToFloat32().Mul(simd.BroadcastFloat32s(0x1p112)).ToBits()
	special := bits.GreaterEqual(simd.BroadcastUint32s(0x7c00 << 13))
	f = bits.Or(simd.BroadcastUint32s(0x7f800000)).IfElse(special, f)
	return f.Or(sign).BitsToFloat32()
}

func widenF16Simd(dst []float32, w []uint16) {
	lanes := simd.Float32s{}.Len()
	ws := words(w)
	var even, odd [nr / 2]float32
	for o := 0; o < len(dst); o += nr {
		for j := 0; j < nr/2; j += lanes {
			v := simd.LoadUint32s(ws[o/2+j:])
			store(&even[0], j, fromF16v(v.ShiftAllLeft(16)))
			store(&odd[0], j, fromF16v(v))
		}
		row := dst[o : o+nr]
		for j, v := range even {
			row[2*j], row[2*j+1] = v, odd[j]
		}
	}
}

func widenBF16Simd(dst []float32, w []uint16) {
	lanes := simd.Float32s{}.Len()
	ws, dp := words(w), unsafe.SliceData(dst)
	high := simd.BroadcastUint32s(0xffff0000)
	for o := 0; o < len(dst); o += nr {
		for j := 0; j < nr/2; j += lanes {
			v := simd.LoadUint32s(ws[o/2+j:])
			store(dp, o+j, v.ShiftAllLeft(16).BitsToFloat32())
			store(dp, o+j+nr/2, v.And(high).BitsToFloat32())
		}
	}
}

func pairsBF16Simd(dst []uint16, pairs []float32) {
	lanes := simd.Float32s{}.Len()
	ws := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(pairs))), len(pairs))
	ds := words(dst)
	low, high := simd.BroadcastUint32s(0xffff), simd.BroadcastUint32s(0xffff0000)
	for o := 0; o < len(ws); o += nr {
		for j := 0; j < nr/2; j += lanes {
			a, b := simd.LoadUint32s(ws[o+j:]), simd.LoadUint32s(ws[o+nr/2+j:])
			a.And(low).Or(b.ShiftAllLeft(16)).Store(ds[o+j:])
			a.ShiftAllRight(16).Or(b.And(high)).Store(ds[o+nr/2+j:])
		}
	}
}

// words is a panel's row of 16-bit numbers as 32-bit words, two columns each.
func words(w []uint16) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(w))), len(w)/2)
}

// bf16Row adds panel w [len(x)][32] times x to sums: the low half of a word is column j, the high
// half column j+16, and either is an f32 that lacks its lower bits.
func bf16Row(sums *[nr]float32, w []uint16, x []float32) {
	lanes := simd.Float32s{}.Len()
	ws, sp, xp := words(w), &sums[0], unsafe.SliceData(x)
	high := simd.BroadcastUint32s(0xffff0000)
	for j := 0; j < nr/2; j += lanes {
		s0, s1 := load(sp, j), load(sp, j+nr/2)
		for l := range x {
			v := simd.LoadUint32s(ws[l*nr/2+j:])
			xv := simd.BroadcastFloat32s(*at(xp, l))
			s0 = v.ShiftAllLeft(16).BitsToFloat32().MulAdd(xv, s0)
			s1 = v.And(high).BitsToFloat32().MulAdd(xv, s1)
		}
		store(sp, j, s0)
		store(sp, j+nr/2, s1)
	}
}

// widenQ4Simd: a word is inputs 8g … 8g+7 of a column.
func widenQ4Simd(dst []float32, src []byte) {
	lanes := simd.Float32s{}.Len()
	low, zero := simd.BroadcastUint32s(15), simd.BroadcastInt32s(q4Zero)
	dp := unsafe.SliceData(dst)
	for o := 0; o < len(dst); o += q8Block * nr {
		block := unsafe.Slice((*uint32)(unsafe.Pointer(&src[o/(q8Block*nr)*q4Bytes])), q4Bytes/4)
		scales := (*float32)(unsafe.Pointer(&block[0]))
		for j := 0; j < nr; j += lanes {
			s := load(scales, j)
			for g := range q8Block / 8 {
				v, at := simd.LoadUint32s(block[nr+g*nr+j:]), o+8*g*nr+j
				store(dp, at, v.And(low).BitsToInt32().Sub(zero).ConvertToFloat32().Mul(s))
				for r := 1; r < 8; r++ {
					v = v.ShiftAllRight(4)
					q := v.And(low).BitsToInt32().Sub(zero)
					store(dp, at+r*nr, q.ConvertToFloat32().Mul(s))
				}
			}
		}
	}
}
