//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"transformer2/kernels"
	"transformer2/shared/compute"
	"transformer2/shared/compute/devicetest"
)

// openDevice opens the machine's device. Tests are left out where there is no driver, but not in
// CI.
func openDevice(t testing.TB) *Device {
	t.Helper()
	start := time.Now()
	d, err := New(Options{})
	if err != nil {
		if errors.Is(err, ErrNoAdapter) && os.Getenv("CI") == "" {
			t.Skipf("no GPU driver (Debian: apt-get install mesa-vulkan-drivers): %v", err)
		}
		t.Fatal(err)
	}
	t.Logf("%s opened in %v", d.Name(), time.Since(start))
	return d
}

func TestConformance(t *testing.T) {
	devicetest.Run(t, func(t *testing.T) compute.Device { return openDevice(t) })
}

// TestSelfTest: a device whose kernel computes something else is refused, by name.
func TestSelfTest(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	start := time.Now()
	if err := d.SelfTest(); err != nil {
		t.Fatal(err)
	}
	t.Logf("self-test in %v, kernels compiled", time.Since(start))
	// RMSNorm and SwiGLU read two tensors and write one: the same bindings.
	norm, gate := kernels.Variant{Name: "rms_norm", Vec: true, Hold: 1}, plain("swiglu")
	d.pipes[norm], d.pipes[gate] = d.pipes[gate], d.pipes[norm]
	err := d.SelfTest()
	if err == nil || !strings.Contains(err.Error(), "computes wrongly, norm") {
		t.Errorf("a device whose norm is another kernel: %v, want it refused", err)
	}
}

// TestParts: a weight that is cut by rows computes what a whole one does.
func TestParts(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	d.maxRows = 7
	devicetest.RunOptions(t, func(*testing.T) compute.Device { return d }, devicetest.Options{
		Every: 9, Once: true})
}

// TestKernels: every variant is a good shader to this device, and compiles, also those that no
// shape of a test calls for. Where the driver runs on the processor, as a browser's may, compilers take
// their time: a quarter of them compile there.
func TestKernels(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	slow := d.adapter.rank() >= rankUnknown
	for i, v := range kernels.Variants() {
		much := v.Name == "few" && v.Rows > d.mostFew ||
			v.Name == "attention_rows" && v.Dim > d.mostHead
		if !slow || i%4 == 0 && !much {
			if _, err := d.pipe(v); err != nil {
				t.Error(err)
			}
			continue
		}
		source, err := kernels.Source(v)
		if err != nil {
			t.Fatal(err)
		}
		m, err := d.module(v.Name, source)
		if err != nil {
			t.Errorf("%+v: %v", v, err)
			continue
		}
		m.Release()
	}
}
