package cpu

import (
	"fmt"
	"testing"

	"transformer2/shared/compute"
	"transformer2/shared/compute/devicetest"
)

// Every form must pass the suite that holds every op of every device to its documented loop: the
// best form and the plain loops in full, the others, and three threads, on a part of the sizes.
func TestConformance(t *testing.T) {
	forms := Forms()
	for i, form := range forms {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s×%d", form, threads), func(t *testing.T) {
				o := devicetest.Options{Every: 5}
				if threads == 1 && (i == 0 || i == len(forms)-1) {
					o.Every = 1
				}
				devicetest.RunOptions(t, func(t *testing.T) compute.Device {
					d, err := New(Options{Form: form, Threads: threads})
					if err != nil {
						t.Fatal(err)
					}
					return d
				}, o)
			})
		}
	}
}
