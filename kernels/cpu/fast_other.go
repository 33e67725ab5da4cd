//go:build !amd64

package cpu

func fastForms() []*form { return nil }

func formReason(name string) string {
	if name == "simd" {
		return "the portable vector form is the best one for this kind of machine"
	}
	return "plain loops, which are slow: a build with GOEXPERIMENT=simd has vectors here"
}
