package adapt_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"transformer2/shared/adapt"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// blocks is tiny in whole blocks of Q8.
var blocks = func() llama.Config {
	c := tiny
	c.Dim, c.Hidden = 32, 64
	return c
}()

// kept is where a base's weights can be had again.
type kept struct {
	base    *llama.Model
	numbers map[string][]float32
	loaded  []string
	failing string // the matrix that cannot be read; "" for none
}

var errGone = errors.New("the file is gone")

func keep(t *testing.T, base *llama.Model) *kept {
	k := &kept{base: base, numbers: map[string][]float32{}}
	for _, l := range base.Linears() {
		k.numbers[l.Name] = weights(t, base, l.Name)
	}
	return k
}

func (k *kept) reload(ctx context.Context, names []string, done func(string)) error {
	dev := k.base.Dev
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		i := slices.IndexFunc(k.base.Linears(), func(l *llama.Linear) bool { return l.Name == name })
		l := k.base.Linears()[i]
		src, err := dev.NewTensor(l.Out, l.In)
		if err != nil {
			return err
		}
		if name == k.failing {
			dev.Pack(l.W, src) // zeros: what was there is lost
			return errGone
		}
		dev.Write(src, k.numbers[name])
		dev.Pack(l.W, src)
		dev.Free(src.Buf)
		k.loaded = append(k.loaded, name)
		done(name)
	}
	return nil
}

// large makes every model a large one.
func (k *kept) large() adapt.FoldedOptions {
	return adapt.FoldedOptions{Small: 1, Reload: k.reload}
}

// numbersOf are all matrices of a model, one behind the other.
func numbersOf(t *testing.T, m *llama.Model) []float32 {
	var all []float32
	for _, l := range m.Linears() {
		all = append(all, weights(t, m, l.Name)...)
	}
	return all
}

// refolded bounds W' without factors against W' with them, both rounded to the type, against the
// largest number: a sum that falls to the other side of a rounding is off by a step of the type.
// Measured 4e-7 in f32 and q8, 1.4e-4 in f16, 5e-4 in bf16.
var refolded = map[compute.DType]float64{compute.F32: 2e-6, compute.F16: 1e-3, compute.BF16: 8e-3,
	compute.Q8: 1e-2}

// In place: an expert, another, the base and the first again are what they are in a model of their
// own, to the bit, and near what factors give; a matrix is loaded and folded only where it must be.
func TestInPlace(t *testing.T) {
	for _, dtype := range []compute.DType{compute.F32, compute.F16, compute.BF16, compute.Q8} {
		t.Run(dtype.String(), func(t *testing.T) {
			dev := open(t)
			base, d := fresh(t, dev, blocks, dtype, 1)
			a, b := expert(t, d, "all", 1, 0.3), expert(t, d, "mlp", 2, 0.3)
			alone := func(e *svf.Expert, o adapt.FoldedOptions) []float32 {
				own, d := fresh(t, dev, blocks, dtype, 1)
				f, err := adapt.NewFolded(own, d, o)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				use(t, f, e)
				return numbersOf(t, f.Model())
			}
			plain := numbersOf(t, base)
			k := keep(t, base)
			f, err := adapt.NewFolded(base, d, k.large())
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for i, step := range []struct {
				e             *svf.Expert
				loaded, folds int // so far
			}{{a, 0, 14}, {a, 0, 14}, {b, 14, 20}, {nil, 20, 20}, {a, 20, 34},
				{changed(a, svf.Name(1, svf.V)), 21, 35}, {nil, 35, 35}} {
				use(t, f, step.e)
				want := plain
				if step.e != nil {
					want = alone(step.e, adapt.FoldedOptions{Small: 1})
					near(t, "with factors", want, alone(step.e, adapt.FoldedOptions{}),
						refolded[dtype]*top(want))
				}
				if off := farthest(t, numbersOf(t, f.Model()), want); off != 0 {
					t.Errorf("step %d: weights are off by %g, want the same bits", i, off)
				}
				if off := farthest(t, numbersOf(t, base), want); off != 0 {
					t.Errorf("step %d: it has weights of its own", i)
				}
				if len(k.loaded) != step.loaded || f.Folds() != step.folds {
					t.Errorf("step %d: %d loaded and %d folded so far, want %d and %d", i,
						len(k.loaded), f.Folds(), step.loaded, step.folds)
				}
			}
		})
	}
}

func top(x []float32) float64 { return max(float64(slices.Max(x)), -float64(slices.Min(x))) }

// Without a way to have the base again, W' lies beside W.
func TestBesideTheBase(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.F32, 1)
	plain := numbersOf(t, base)
	f, err := adapt.NewFolded(base, d, adapt.FoldedOptions{Small: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	use(t, f, expert(t, d, "all", 1, 0.3))
	if farthest(t, numbersOf(t, f.Model()), plain) == 0 || farthest(t, numbersOf(t, base), plain) != 0 {
		t.Error("the expert is not beside the base")
	}
}

// What ends in the middle is an error, and no one's model; the next Use goes on with what is left.
func TestInPlaceIsCutShort(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.BF16, 1)
	plain, k := numbersOf(t, base), keep(t, base)
	a, b := expert(t, d, "all", 1, 0.3), expert(t, d, "all", 2, 0.3)
	o := k.large()
	var stop func()
	at := 0
	o.Progress = func(p adapt.Progress) {
		if p.Done == at {
			stop()
		}
	}
	f, err := adapt.NewFolded(base, d, o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cut := func(e *svf.Expert, after int) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		stop, at = cancel, after
		defer func() { at = 0 }()
		if err := f.Use(ctx, e); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, want an end after %d matrices", err, after)
		}
	}
	cut(a, 5)
	use(t, f, a)
	wantA := numbersOf(t, base)
	if f.Folds() != 14 {
		t.Errorf("%d folds, want 5 and the 9 that were left", f.Folds())
	}
	cut(b, 3)  // while the base is loaded again
	cut(b, 14) // before the last is folded: 11 loaded, 3 folded
	use(t, f, nil)
	if farthest(t, numbersOf(t, base), plain) != 0 {
		t.Error("the base is another one after an expert was cut short")
	}
	cut(b, 7)
	use(t, f, a)
	if farthest(t, numbersOf(t, base), wantA) != 0 {
		t.Error("an expert is another one after one that was cut short")
	}
}

// A base that cannot be had again is an error every time, until it can.
func TestInPlaceCannotReload(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.BF16, 1)
	plain, k := numbersOf(t, base), keep(t, base)
	a := expert(t, d, "mlp", 1, 0.3)
	v := voices(t, base, d, adapt.VoicesOptions{FoldedOptions: k.large(), Form: adapt.FormFolded})
	as := func(e *svf.Expert) error {
		_, err := v.As(t.Context(), e)
		return err
	}
	if err := as(a); err != nil {
		t.Fatal(err)
	}
	wantA := numbersOf(t, base)
	k.failing = svf.Name(1, svf.Gate)
	for range 2 {
		for _, e := range []*svf.Expert{nil, expert(t, d, "all", 2, 0.3), nil} {
			err := as(e)
			if !errors.Is(err, errGone) || !strings.Contains(err.Error(), "cannot be loaded again") {
				t.Fatalf("%v, want an error that says what is missing", err)
			}
		}
	}
	if err := as(a); !errors.Is(err, errGone) { // what was lost is not a's any more
		t.Errorf("%v, want an error for the matrix that is lost", err)
	}
	k.failing = ""
	if err := as(nil); err != nil || farthest(t, numbersOf(t, base), plain) != 0 {
		t.Errorf("the base is not itself: %v", err)
	}
	if err := as(a); err != nil || farthest(t, numbersOf(t, base), wantA) != 0 {
		t.Errorf("the expert is not itself: %v", err)
	}
}
