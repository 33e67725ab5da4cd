package cpu

import (
	"fmt"
	"testing"

	"transformer2/shared/compute"
	"transformer2/shared/compute/devicetest"
)

// Every form must pass the suite that holds every op of every device to its documented loop.
func TestConformance(t *testing.T) {
	for _, form := range Forms() {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s×%d", form, threads), func(t *testing.T) {
				devicetest.Run(t, func(t *testing.T) compute.Device {
					d, err := New(Options{Form: form, Threads: threads})
					if err != nil {
						t.Fatal(err)
					}
					return d
				})
			})
		}
	}
}
