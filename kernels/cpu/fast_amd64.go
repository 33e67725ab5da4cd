package cpu

import (
	"unsafe"

	"golang.org/x/sys/cpu"

	"transformer2/kernels/cpu/x86"
)

// fastForms are the assembly forms that this processor can run, best first.
func fastForms() []*form {
	var fs []*form
	c := &cpu.X86
	avx2 := c.HasAVX2 && c.HasFMA // and F16C, which every such processor has
	if avx2 && c.HasAVX512F && c.HasAVX512BW && c.HasAVX512DQ && c.HasAVX512VL {
		f := avx512Form
		if c.HasAVX512VNNI {
			f.q8 = q8Z
		}
		fs = append(fs, &f)
	}
	if avx2 {
		fs = append(fs, &avx2Form)
	}
	return fs
}

// Without VNNI, AVX-512 makes integer products as AVX2 does.
var avx512Form, avx2Form = asmForm("avx512", useZ), asmForm("avx2", useY)

// q8Z are the integer products with VNNI, which not every AVX-512 processor has.
var q8Z = q8Funcs(x86.Q8Z[:])

func asmForm(name string, use func(*form)) form {
	f := loops
	f.name = name
	use(&f)
	return f
}

func formReason(name string) string {
	switch name {
	case "avx512":
		return "this processor has AVX-512"
	case "avx2":
		return "this processor has AVX2 and FMA but no AVX-512"
	case "simd":
		return "this processor lacks AVX2 or FMA: portable vectors"
	}
	return "plain loops: this processor lacks AVX2 or FMA, so it is slow"
}

func gemmFuncs(fs []x86.GemmFunc) []gemmFunc {
	t := make([]gemmFunc, len(fs))
	for i, f := range fs {
		t[i] = gemmFunc(f)
	}
	return t
}

func panelFuncs[T float32 | uint16 | byte](fs []x86.PanelFunc[T]) []panelFunc[T] {
	t := make([]panelFunc[T], len(fs))
	for i, f := range fs {
		t[i] = panelFunc[T](f)
	}
	return t
}

func q8Funcs(fs []x86.Q8Func) []q8Func {
	t := make([]q8Func, len(fs))
	for i, f := range fs {
		t[i] = q8Func(f)
	}
	return t
}

func gemm64Funcs(fs []x86.Gemm64Func) []gemm64Func {
	t := make([]gemm64Func, len(fs))
	for i, f := range fs {
		t[i] = gemm64Func(f)
	}
	return t
}

func p16(x []uint16) *uint16 { return unsafe.SliceData(x) }

func p64(x []float64) *float64 { return unsafe.SliceData(x) }

func p(x []float32) *float32 { return unsafe.SliceData(x) }

func p8(x []byte) *byte { return unsafe.SliceData(x) }
