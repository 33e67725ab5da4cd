package svf_test

import (
	"strings"
	"testing"

	"transformer2/shared/compute"
	"transformer2/shared/svf"
)

// refoldBF16 bounds a weight that is folded from bf16 and to it: a rounding of each number, by
// 2⁻⁹ of it, and bases of bf16 that are orthonormal to no more. Measured 4.6e-3 of the largest.
const refoldBF16 = 1e-2

// packed puts numbers on a device as a weight.
func packed(t *testing.T, dev compute.Device, typ compute.DType, out, in int,
	x []float32) compute.Weight {
	t.Helper()
	w, err := dev.NewWeight(typ, out, in)
	if err != nil {
		t.Fatal(err)
	}
	if x != nil {
		dev.Pack(w, upload(t, dev, out, in, x))
	}
	return w
}

func unpacked(t *testing.T, dev compute.Device, w compute.Weight) []float32 {
	t.Helper()
	out, in := w.Dims()
	x := upload(t, dev, out, in, nil)
	dev.Unpack(x, w)
	return download(t, dev, x)
}

// TestRefold: into another weight and into itself, in both types, against the definition in f64.
func TestRefold(t *testing.T) {
	for typ, tol := range map[compute.DType]float64{compute.F32: foldTol, compute.BF16: refoldBF16} {
		t.Run(typ.String(), func(t *testing.T) {
			eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
				r := rng(7)
				w := packed(t, dev, typ, out, in, normal(r, out*in, 0, 1))
				d := decompose(out, in, unpacked(t, dev, w))
				m := d.matrix("w")
				basis := packed(t, dev, typ, d.r, d.r, m.Basis)
				s := svf.NewScratch(dev)
				defer s.Free()
				z1 := normal(r, d.r, 0, 0.5)
				z := widen(z1)
				for i := range z {
					z[i]++
				}
				zt, zeros := upload(t, dev, 1, d.r, z1), upload(t, dev, 1, d.r, nil)
				dst := packed(t, dev, typ, out, in, nil)
				for _, c := range []struct {
					dst compute.Weight
					z1  compute.Tensor
				}{{dst, zeros}, {dst, zt}, {w, zt}} {
					before := unpacked(t, dev, w)
					if err := s.Refold(c.dst, w, basis, m.Left, c.z1); err != nil {
						t.Fatal(err)
					}
					if c.z1 == zeros {
						same(t, "W' at z = 1", unpacked(t, dev, c.dst), before)
					} else {
						near(t, "W'", unpacked(t, dev, c.dst), d.adapted(z), tol)
					}
				}
			})
		})
	}
}

func TestRefoldRefuses(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		s := svf.NewScratch(dev)
		defer s.Free()
		r := min(out, in)
		w, z1 := packed(t, dev, compute.F32, out, in, nil), upload(t, dev, 1, r, nil)
		square := packed(t, dev, compute.F32, r, r, nil)
		other := packed(t, dev, compute.F32, out+1, in, nil)
		left := out <= in
		for want, err := range map[string]error{
			"the result is": s.Refold(other, w, square, left, z1),
			": z [1 ":       s.Refold(w, w, square, left, upload(t, dev, 1, r+1, nil)),
			"a basis [":     s.Refold(w, w, other, left, z1),
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("[%d %d]: %v, want %q in it", out, in, err, want)
			}
		}
	})
}

// From a matrix, whose basis is read and let go, it is what it is from the basis packed as f32; one
// that has no basis leaves the weight alone.
func TestRefoldMatrix(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		r := rng(8)
		x := normal(r, out*in, 0, 1)
		w := packed(t, dev, compute.BF16, out, in, x)
		d := decompose(out, in, unpacked(t, dev, w))
		m := d.matrix("w")
		z1 := upload(t, dev, 1, d.r, normal(r, d.r, 0, 0.5))
		s := svf.NewScratch(dev)
		defer s.Free()
		want := packed(t, dev, compute.BF16, out, in, nil)
		basis := packed(t, dev, compute.F32, d.r, d.r, m.Basis)
		if err := s.Refold(want, w, basis, m.Left, z1); err != nil {
			t.Fatal(err)
		}
		before := unpacked(t, dev, w)
		gone, other := m, m
		gone.Basis = nil
		other.Out++
		for text, m := range map[string]*svf.Matrix{"basis of 0 numbers": &gone, "weight is": &other} {
			refused(t, s.RefoldMatrix(w, w, m, z1), text)
		}
		same(t, "W after what was refused", unpacked(t, dev, w), before)
		if err := s.RefoldMatrix(w, w, &m, z1); err != nil {
			t.Fatal(err)
		}
		same(t, "W'", unpacked(t, dev, w), unpacked(t, dev, want))
	})
}
