package cpu

import (
	"golang.org/x/sys/cpu"

	"transformer2/kernels/cpu/x86"
)

// fastForms are the assembly forms that this processor can run.
func fastForms() []*form {
	var fs []*form
	c := &cpu.X86
	avx2 := c.HasAVX2 && c.HasFMA
	if avx2 && c.HasAVX512F && c.HasAVX512BW && c.HasAVX512DQ && c.HasAVX512VL {
		fs = append(fs, &avx512)
	}
	if avx2 {
		fs = append(fs, &avx2Form)
	}
	return fs
}

var avx512, avx2Form = newAVX512(), newAVX2()

func newAVX512() form {
	f := loops
	f.name = "avx512"
	f.tile, f.tileRow = gemmFuncs(x86.GemmZ[:]), gemmFuncs(x86.GemmRowZ[:])
	useSimd(&f)
	return f
}

func newAVX2() form {
	f := loops
	f.name = "avx2"
	f.tile, f.tileRow = gemmFuncs(x86.GemmY[:]), gemmFuncs(x86.GemmRowY[:])
	useSimd(&f)
	return f
}

func gemmFuncs(fs []x86.GemmFunc) []gemmFunc {
	t := make([]gemmFunc, len(fs))
	for i, f := range fs {
		t[i] = gemmFunc(f)
	}
	return t
}

func formReason(name string) string {
	switch name {
	case "avx512":
		return "this processor has AVX-512"
	case "avx2":
		return "this processor has AVX2 and FMA but no AVX-512"
	case "simd":
		return "the portable vector form was asked for"
	}
	return "plain loops: this processor lacks AVX2 or FMA, so it is slow"
}
