package x86

import "testing"

// The roof: floating point operations in registers only, one core.

func BenchmarkPeakZ(b *testing.B) {
	need(b, hasZ, "AVX-512")
	for b.Loop() {
		PeakZ(1000)
	}
	b.ReportMetric(2*16*24*1000*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
}

func BenchmarkPeakY(b *testing.B) {
	need(b, hasY, "AVX2 and FMA")
	for b.Loop() {
		PeakY(1000)
	}
	b.ReportMetric(2*8*12*1000*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
}
