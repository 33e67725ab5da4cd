//go:build !goexperiment.simd

package cpu

func useSimd(*form) {}

func simdForms() []*form { return nil }
