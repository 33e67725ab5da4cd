//go:build !goexperiment.simd

package cpu

func simdForms() []*form { return nil }
