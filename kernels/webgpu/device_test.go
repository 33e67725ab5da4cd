package webgpu

import (
	"os"
	"testing"
	"time"

	"transformer2/shared/compute"
	"transformer2/shared/compute/devicetest"
)

// open opens the machine's device. Tests are left out where there is no driver, but not in CI.
func openDevice(t testing.TB) *Device {
	t.Helper()
	start := time.Now()
	d, err := New(Options{})
	if err != nil {
		if _, listed := List(); listed == nil && os.Getenv("CI") == "" {
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
