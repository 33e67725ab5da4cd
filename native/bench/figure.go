package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Figure is something that was measured, next to what it is measured against.
type Figure struct {
	Name    string  // what, in which shape, on how many threads
	Unit    string  // of Value and Peer
	Against string  // who or what; "" where there is nothing to measure against
	Value   float64 // ours
	Peer    float64 // theirs; 0: it was not measured
	Ratio   float64 // Value over Peer, the median over the turns; 0: none
	Least   float64 // of the turns' ratios; 0 with Most: there were no turns
	Most    float64
	Want    string // what the ratio should be: "≥ 0.75", "≤ 1"; "" where nothing is asked for
	Note    string // what a reader must know, above all why there is no ratio
}

// bound is a figure that is measured against a fixed most.
func bound(name, unit string, value, most float64) Figure {
	return Figure{Name: name, Unit: unit, Value: value, Against: "bound", Peer: most,
		Ratio: value / most, Want: atMost(1)}
}

func atLeast(x float64) string { return fmt.Sprintf("≥ %g", x) }
func atMost(x float64) string  { return fmt.Sprintf("≤ %g", x) }

// Met says whether the ratio is what it should be; judged is false where there is no ratio, or
// nothing is asked of it.
func (f Figure) Met() (met, judged bool) {
	op, number, _ := strings.Cut(f.Want, " ")
	limit, err := strconv.ParseFloat(number, 64)
	if err != nil || f.Ratio == 0 {
		return false, false
	}
	switch op {
	case "≥":
		return f.Ratio >= limit, true
	case "≤":
		return f.Ratio <= limit, true
	}
	return false, false
}

// Opponent is who or what the figure is measured against, with its value.
func (f Figure) Opponent() string {
	if f.Peer == 0 {
		return f.Against
	}
	return fmt.Sprintf("%s: %.4g %s", f.Against, f.Peer, f.Unit)
}

// Row is a line of a table of figures: name, value, unit, ratio, what it should be, against what.
const Row = "%-52s %10s %-9s %-18s %-7s %s"

// Cells are the texts of a figure's line for Row; what a reader must know follows the opponent.
func (f Figure) Cells() (cells [6]string) {
	cells = [6]string{f.Name, fmt.Sprintf("%.4g", f.Value), f.Unit, "", f.Want, f.Opponent()}
	if f.Ratio != 0 {
		cells[3] = fmt.Sprintf("%.2f", f.Ratio)
	}
	if f.Most != 0 {
		cells[3] += fmt.Sprintf(" (%.2f…%.2f)", f.Least, f.Most)
	}
	if f.Note != "" {
		cells[5] = strings.TrimPrefix(cells[5]+"; "+f.Note, "; ")
	}
	return cells
}

// MarshalJSON writes the figure as one object. "ratio" is null where there is none, and so is what
// is not a finite number, which JSON cannot hold.
func (f Figure) MarshalJSON() ([]byte, error) {
	line := struct {
		Name    string   `json:"name"`
		Value   *float64 `json:"value"`
		Unit    string   `json:"unit"`
		Against string   `json:"against"`
		Ratio   *float64 `json:"ratio"`
		Least   *float64 `json:"least,omitempty"`
		Most    *float64 `json:"most,omitempty"`
		Want    string   `json:"want,omitempty"`
		Note    string   `json:"note,omitempty"`
	}{Name: f.Name, Value: finite(f.Value), Unit: f.Unit, Against: f.Opponent(), Want: f.Want,
		Note: f.Note}
	if f.Ratio != 0 {
		line.Ratio = finite(f.Ratio)
	}
	if f.Most != 0 {
		line.Least, line.Most = finite(f.Least), finite(f.Most)
	}
	return json.Marshal(line)
}

// finite is v, or nil for NaN and the infinities.
func finite(v float64) *float64 {
	if v-v != 0 {
		return nil
	}
	return &v
}

// versus completes a figure with the series of its own side and of a peer: both took those seconds
// for work units each (more is better).
func (f Figure) versus(who string, ours, theirs series, work float64) Figure {
	f.Against, f.Value = who, work/ours.median()
	if theirs.err != nil {
		f.Note = noRatio(theirs.err)
		return f
	}
	f.Peer = work / theirs.median()
	f.Ratio, f.Least, f.Most = ratio(theirs, ours)
	return f
}

// noRatio says why a peer was not measured, and what would help.
func noRatio(err error) string {
	var m missing
	if errors.As(err, &m) {
		return fmt.Sprintf("no ratio: install Debian's %s", m.pkg)
	}
	return fmt.Sprintf("no ratio: %v", err)
}

// series is what one side took in each turn, in seconds.
type series struct {
	seconds []float64
	err     error // why a peer's is not there
}

func (s series) median() float64 { return median(s.seconds) }

// ratio is the median of a[i]/b[i] over the turns that both have, and the least and the most.
func ratio(a, b series) (middle, least, most float64) {
	var rs []float64
	for i := range min(len(a.seconds), len(b.seconds)) {
		rs = append(rs, a.seconds[i]/b.seconds[i])
	}
	if len(rs) == 0 {
		return math.NaN(), 0, 0
	}
	return median(rs), slices.Min(rs), slices.Max(rs)
}

// median is the middle of x, the mean of the two middle ones of an even number; NaN of none.
func median(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	s := append([]float64(nil), x...)
	slices.Sort(s)
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
