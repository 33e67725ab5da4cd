package cpu

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"transformer2/shared/compute"
)

// Rows that are read as they are packed give the weight that Pack gives of all of them.
func TestPackFrom(t *testing.T) {
	eachForm(t, 2, func(t *testing.T, d *Device) {
		rng := rand.New(rand.NewPCG(5, 1))
		for dt := range compute.Q4 + 1 {
			for _, out := range []int{1, 32, 77} {
				const in = 96
				_, numbers := weightOf(t, d, rng, dt, out, in)
				got, err := d.NewWeight(dt, out, in)
				if err != nil {
					t.Fatal(err)
				}
				if err := d.PackFrom(got, func(lo int, rows []float32) error {
					copy(rows, numbers[lo*in:])
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				sameNumbers(t, d, dt.String(), got, out, in, numbers)
				if dt != compute.BF16 {
					continue
				}
				if err := d.PackBytes(got, func(lo int, rows []byte) error {
					for i := range len(rows) / 2 {
						binary.LittleEndian.PutUint16(rows[2*i:], toBF16(numbers[lo*in+i]))
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				sameNumbers(t, d, "bytes", got, out, in, numbers)
			}
		}
	})
}

// sameNumbers compares a weight [out in] with what it should hold.
func sameNumbers(t *testing.T, d *Device, what string, got compute.Weight, out, in int,
	numbers []float32) {
	t.Helper()
	x, err := d.NewTensor(out, in)
	if err != nil {
		t.Fatal(err)
	}
	d.Unpack(x, got)
	for i, v := range read(d, x) {
		// Q8 rounds its scale once more.
		if a := math.Abs(float64(v - numbers[i])); a > 1e-6*math.Abs(float64(v)) {
			t.Fatalf("%s [%d %d]: number %d is %v, want %v", what, out, in, i, v, numbers[i])
		}
	}
}

func TestPackFromFails(t *testing.T) {
	eachForm(t, 2, func(t *testing.T, d *Device) {
		w, err := d.NewWeight(compute.BF16, 640, 8)
		if err != nil {
			t.Fatal(err)
		}
		broken := errors.New("broken")
		err = d.PackFrom(w, func(lo int, _ []float32) error {
			if lo == 320 {
				return broken
			}
			return nil
		})
		if err != broken {
			t.Errorf("PackFrom: %v", err)
		}
		if err = d.PackBytes(w, func(int, []byte) error { return broken }); err != broken {
			t.Errorf("PackBytes: %v", err)
		}
	})
}
