package x86

import "testing"

// The roof: floating point operations in registers only, one core.

func BenchmarkPeakZ(b *testing.B) {
	need(b, hasZ, "AVX-512")
	ns := best(b, 1, func(int) { PeakZ(1000) })
	b.ReportMetric(2*16*24*1000/ns, "GFLOP/s")
}

func BenchmarkPeakY(b *testing.B) {
	need(b, hasY, "AVX2 and FMA")
	ns := best(b, 1, func(int) { PeakY(1000) })
	b.ReportMetric(2*8*12*1000/ns, "GFLOP/s")
}
