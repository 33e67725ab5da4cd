package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2},
		{[]float64{1, 100, 2, 3}, 2.5}} {
		before := fmt.Sprint(c.x)
		if got := median(c.x); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.x, got, c.want)
		}
		if fmt.Sprint(c.x) != before {
			t.Errorf("median changed %v to %v", before, c.x)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing is %v, want NaN", got)
	}
}

// The ratio is the median of the turns' ratios: a turn that went wrong for one side does not count,
// and neither does a drift of the whole machine.
func TestRatioIsOfPairs(t *testing.T) {
	a := series{seconds: []float64{1, 2, 4, 8, 900}}
	b := series{seconds: []float64{2, 4, 8, 16, 3}}
	if got, least, most := ratio(b, a); got != 2 || least != 3/900. || most != 2 {
		t.Errorf("ratio is %v, %v … %v, want 2, 3/900 … 2", got, least, most)
	}
	if got, _, _ := ratio(series{seconds: a.seconds[:2]}, b); got != 0.5 {
		t.Errorf("ratio of what both have is %v, want 0.5", got)
	}
}

func TestVersus(t *testing.T) {
	ours, theirs := series{seconds: []float64{2, 2, 2}}, series{seconds: []float64{1, 1, 1}}
	f := Figure{Name: "x", Unit: "GB/s", Want: atLeast(0.4)}.versus("them", ours, theirs, 10)
	if f.Value != 5 || f.Peer != 10 || f.Ratio != 0.5 || f.Against != "them" || f.Note != "" {
		t.Errorf("%+v", f)
	}
	if met, judged := f.Met(); !met || !judged {
		t.Errorf("%v of %q: %v, %v", f.Ratio, f.Want, met, judged)
	}
	f = f.versus("them", ours, series{err: missing{"python3-numpy"}}, 10)
	if f.Value != 5 || f.Note != "no ratio: install Debian's python3-numpy" {
		t.Errorf("%+v", f)
	}
	f = lessIsMore(Figure{}, ours, theirs)
	if f.Value != 2 || f.Peer != 1 || f.Ratio != 2 {
		t.Errorf("%+v", f)
	}
	f = lessIsMore(Figure{}, ours, series{err: errors.New("it fell over")})
	if f.Value != 2 || f.Ratio != 0 || f.Note != "no ratio: it fell over" {
		t.Errorf("%+v", f)
	}
}

func TestMet(t *testing.T) {
	for _, c := range []struct {
		ratio       float64
		want        string
		met, judged bool
	}{
		{0.8, atLeast(0.75), true, true}, {0.7, atLeast(0.75), false, true},
		{1.1, atMost(1.2), true, true}, {1.3, atMost(1.2), false, true},
		{0, atLeast(0.75), false, false}, {5, "", false, false}, {5, "soon", false, false},
		{math.NaN(), atLeast(1), false, true},
	} {
		met, judged := Figure{Ratio: c.ratio, Want: c.want}.Met()
		if met != c.met || judged != c.judged {
			t.Errorf("%v %q: %v, %v, want %v, %v", c.ratio, c.want, met, judged, c.met, c.judged)
		}
	}
}

func TestFigureJSON(t *testing.T) {
	for _, c := range []struct {
		f    Figure
		want string
	}{
		{bound("n", "ms", 2, 4),
			`{"name":"n","value":2,"unit":"ms","against":"bound: 4 ms","ratio":0.5,"want":"≤ 1"}`},
		{bound("n", "ms", math.NaN(), 4),
			`{"name":"n","value":null,"unit":"ms","against":"bound: 4 ms","ratio":null,"want":"≤ 1"}`},
		{Figure{Name: "n", Unit: "GB/s", Value: 3},
			`{"name":"n","value":3,"unit":"GB/s","against":"","ratio":null}`},
		{Figure{Name: "n", Unit: "GB/s", Value: 3, Against: "them", Note: "no ratio: gone"},
			`{"name":"n","value":3,"unit":"GB/s","against":"them","ratio":null,` +
				`"note":"no ratio: gone"}`},
	} {
		got, err := json.Marshal(c.f)
		if err != nil || string(got) != c.want {
			t.Errorf("%s, %v, want %s", got, err, c.want)
		}
	}
}
