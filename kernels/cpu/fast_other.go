//go:build !amd64

package cpu

func fastForms() []*form { return nil }

func formReason(string) string {
	return "plain loops: this build has no vector kernels for this machine, so it is slow"
}
