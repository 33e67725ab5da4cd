//go:build (linux || windows) && (amd64 || arm64)

package webgpu

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"transformer2/kernels"
)

// spirv is the code that the device runs for v.
func spirv(v kernels.Variant) ([]uint32, error) {
	source, err := kernels.Source(v)
	if err != nil {
		return nil, err
	}
	return compile(source)
}

// validate runs spirv-val on the code that the device runs.
func validate(t *testing.T, v kernels.Variant) {
	t.Helper()
	words, err := spirv(v)
	if err != nil {
		t.Errorf("%+v: %v", v, err)
		return
	}
	code := make([]byte, 4*len(words))
	for i, w := range words {
		binary.LittleEndian.PutUint32(code[4*i:], w)
	}
	file := filepath.Join(t.TempDir(), v.Name+".spv")
	if err := os.WriteFile(file, code, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("spirv-val", "--target-env", "vulkan1.1", file).CombinedOutput()
	if err != nil {
		t.Errorf("%+v: %v: %s", v, err, out)
	}
}

// TestSPIRV: a validator that shares nothing with the compiler finds every kernel well formed.
func TestSPIRV(t *testing.T) {
	if _, err := exec.LookPath("spirv-val"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("spirv-val is not installed (Debian: apt-get install spirv-tools)")
	}
	for _, v := range kernels.Variants() {
		validate(t, v)
	}
}

// TestStripZeroInit: no kernel's workgroup memory is zeroed by one thread.
func TestStripZeroInit(t *testing.T) {
	for _, v := range kernels.Variants() {
		words, err := spirv(v)
		if err != nil {
			t.Fatal(err)
		}
		if n := stripZeroInit(words); n > 0 {
			t.Errorf("%+v: %d stores of zeros are left", v, n)
		}
	}
	if n := stripZeroInit([]uint32{1, 2, 3, 4, 5, 0, 7}); n != 0 {
		t.Errorf("words that are not SPIR-V: %d stripped", n)
	}
}
