package main

import (
	"slices"
	"strings"
	"testing"

	"transformer2/kernels/cpu"
)

func TestArguments(t *testing.T) {
	for _, args := range []string{"", "8 8 8", "8 8 8 8 8", "8 x 8 1", "0 8 8 1", "-1 8 8 1",
		"99999999 8 8 1"} {
		if err := run(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("forms %s: error %v, want one that says what is wanted", args, err)
		}
	}
}

func TestRun(t *testing.T) {
	err := run(strings.Fields("8 9 10 1"))
	if slices.Contains(cpu.Forms(), "simd") != (err == nil) {
		t.Errorf("forms %v of this build, error %v", cpu.Forms(), err)
	}
}
