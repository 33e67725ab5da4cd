package linalg

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func TestGram(t *testing.T) {
	for _, s := range [][2]int{{0, 4}, {1, 1}, {3, 700}, {700, 3}, {140, 20}, {20, 140}} {
		w := weights[0].make(s[0], s[1], newRand(6))
		m := mat.NewDense(max(s[0], 1), max(s[1], 1), nil)
		for i, v := range floats(w) {
			m.Set(i/s[1], i%s[1], v)
		}
		for _, left := range []bool{true, false} {
			var want mat.Dense
			n, sum := s[1], s[0]
			if want.Mul(m.T(), m); left {
				want.Reset()
				want.Mul(m, m.T())
				n, sum = s[0], s[1]
			}
			got := Gram(Plain{}, s[0], s[1], w, left)
			if len(got) != n*n {
				t.Fatalf("%v left %v: %d numbers, want %d²", s, left, len(got), n)
			}
			for i, v := range got {
				if !(math.Abs(v-want.At(i/n, i%n)) <= float64(sum)*eps*30) {
					t.Errorf("%v left %v: entry (%d, %d) is %v, want %v", s, left, i/n, i%n, v,
						want.At(i/n, i%n))
				}
			}
		}
	}
}
