package devicetest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"transformer2/shared/compute"
)

// recorder is a reporter that remembers in place of failing; one message is enough for it.
type recorder struct{ messages []string }

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}
func (r *recorder) FailNow()            { runtime.Goexit() }

func (r *recorder) Errorf(format string, args ...any) {
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// collect runs f to its end or to its FailNow.
func (r *recorder) collect(f func()) {
	done := make(chan bool)
	go func() { // FailNow ends the goroutine
		defer close(done)
		f()
	}()
	<-done
}

// failures runs one check against dev and returns what it complained of.
func failures(name string, dev compute.Device, o Options) []string {
	r := new(recorder)
	for _, c := range checks {
		if c.name == name {
			r.collect(func() { c.against(r, dev, o) })
			return r.messages
		}
	}
	return []string{"no such check"}
}

// mutants are bugs and the checks that must notice them.
var mutants = []struct{ bug, checks string }{
	{"dirty", "Memory"},
	{"transposed dims", "Memory"},
	{"read whole buffer", "Order"},
	{"late", "Order"},
	{"add ignores the offset", "Add Views"},
	{"bf16 truncates", "Pack"},
	{"bf16 ties away", "Pack"},
	{"f16 truncates", "Pack"},
	{"f16 saturates", "Pack"},
	{"f16 flushes", "Pack"},
	{"q8 ties away", "PackQ8"},
	{"q8 zero block", "PackQ8"},
	{"q8 one scale a row", "PackQ8"},
	{"q4 ties away", "PackQ4"},
	{"q4 symmetric", "PackQ4"},
	{"unpack rows clamps", "UnpackRows"},
	{"unpack rows in parts", "UnpackRows"},
	{"unpack rows by one scale", "UnpackRows"},
	{"packs what failed", "PackFrom"},
	{"first rows again", "PackFrom"},
	{"bytes swapped", "PackFrom"},
	{"copy via zero", "Copy"},
	{"fill in eights", "Fill"},
	{"bf16 activations", "MatMul"},
	{"int8 activations", "MatMul MatMulRows"},
	{"tf32 activations", "MatMul"},
	{"int8 blocks", "MatMul"},
	{"rows of four", "MatMul"},
	{"rows mixed", "MatMulRows"},
	{"nondeterministic", "MatMul"},
	{"unchecked", "Panics"},
	{"mute", "Panics"},
	{"frees nothing", "Panics"},
	{"matmult never adds", "MatMulT"},
	{"matmult always adds", "MatMulT Differences"},
	{"matmult in bf16", "MatMulT"},
	{"gemm never adds", "Gemm"},
	{"gemm TN skips the last row", "Gemm Differences"},
	{"gemm f16 sums", "Gemm"},
	{"gemm scratches b", "Gemm"},
	{"first expert only", "ScaleCols"},
	{"expert of the row", "ScaleCols"},
	{"coldot overwrites", "ColDot"},
	{"span ends early", "Attention"},
	{"span starts at zero", "Attention"},
	{"sees the next key", "Attention AttentionCausal"},
	{"heads modulo", "Attention"},
	{"no scale", "Attention Directional"},
	{"no scale in lse", "Attention"},
	{"keys in bf16", "Attention"},
	{"queries in tf32", "Attention"},
	{"values in f16", "Attention"},
	{"masked, not skipped", "Attention"},
	{"-1e9 for nothing", "Attention"},
	{"no maximum", "Attention"},
	{"empty span is NaN", "Attention"},
	{"empty span has lse 0", "Attention"},
	{"dk adds", "AttentionGrad"},
	{"dv left where unseen", "AttentionGrad"},
	{"dk unscaled", "AttentionGrad Differences Directional"},
	{"no row term", "AttentionGrad Differences Directional"},
	{"grad span ends early", "AttentionGrad Differences"},
	{"grad in bf16", "AttentionGrad"},
	{"grad in tf32", "AttentionGrad"},
	{"no eps", "RMSNorm"},
	{"sum for mean", "RMSNorm"},
	{"one plus g", "RMSNorm"},
	{"norm refuses no rows", "ZeroRows"},
	{"norm grad overwrites", "RMSNormGrad"},
	{"dg overwrites", "RMSNormGrad"},
	{"norm grad without eps", "RMSNormGrad Differences"},
	{"norm grad without mean", "RMSNormGrad Differences Directional"},
	{"dg without r", "RMSNormGrad Differences Directional"},
	{"rope never inverts", "RoPE Differences"},
	{"rope by row", "RoPE"},
	{"rope interleaved", "RoPE"},
	{"rope first head only", "RoPE"},
	{"gate and up swapped", "SwiGLU"},
	{"silu overflows", "SwiGLU"},
	{"gelu", "SwiGLU Directional"},
	{"silu' = sigmoid", "SwiGLUGrad Differences Directional"},
	{"dgate before dup", "SwiGLUGrad"},
	{"gather clamps", "GatherRows"},
	{"scatter clamps", "ScatterAddRows Differences"},
	{"scatter in reverse", "ScatterAddRows"},
	{"last one wins", "ScatterAddRows Differences"},
	{"scatter in place", "ScatterRows"},
	{"last of ties", "ArgMax"},
	{"NaN wins", "ArgMax"},
	{"starts at column 0", "ArgMax"},
	{"logits overflow", "LogProbs"},
	{"ignored target counts", "LogProbs"},
	{"logits in bf16", "LogProbs"},
	{"loss weights ignored", "LogProbsGrad Differences"},
	{"ignored target left", "LogProbsGrad"},
	{"mean over rows", "LogProbsGrad Directional"},
	{"kl reversed", "KL"},
	{"kl 0 times infinity", "KL"},
	{"kl grad overwrites", "KLGrad"},
	{"kl grad is forward", "KLGrad Differences Directional"},
	{"kl grad of raw logits", "KLGrad Differences Directional"},
	{"kl forward reversed", "KLForwardGrad Differences Directional"},
	{"sum overwrites", "SumSquares"},
	{"no bias correction", "AdamW"},
	{"step from zero", "AdamW"},
	{"decay in the gradient", "AdamW"},
	{"gradient unscaled", "AdamW"},
	{"decay of one step later", "AdamW"},
	{"power on the device", "AdamW"},
}

// TestMutants shows the power of the suite: each bug fails the checks named.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		for _, name := range strings.Fields(m.checks) {
			if len(failures(name, &broken{bug: m.bug}, Options{})) == 0 {
				t.Errorf("%s: the bug %q passes", name, m.bug)
			}
		}
	}
}

// quick is what a device runs whose calls are slow; with other inputs than the full suite's.
var quick = Options{MaxDim: 130, Every: 2, Once: true, Seed: 1}

// quickMisses is how many pairs of bug and check may go unseen at half of the sizes.
const quickMisses = 6

func TestMutantsQuick(t *testing.T) {
	pairs, missed := 0, []string(nil)
	for _, m := range mutants {
		for _, name := range strings.Fields(m.checks) {
			pairs++
			if len(failures(name, &broken{bug: m.bug}, quick)) == 0 {
				missed = append(missed, name+": "+m.bug)
			}
		}
	}
	t.Logf("%d of %d unseen: %q", len(missed), pairs, missed)
	if len(missed) > quickMisses {
		t.Errorf("%d unseen, want %d at most: %q", len(missed), quickMisses, missed)
	}
}

// TestInt8Inputs: the option grants rounding to the nearest int8 and nothing coarser.
func TestInt8Inputs(t *testing.T) {
	o := Options{Int8Inputs: true}
	if list := failures("MatMul", &broken{bug: "int8 blocks"}, o); len(list) > 0 {
		t.Error(list[0])
	}
	for _, bug := range []string{"int8 rounded down", "bf16 activations", "rows of four"} {
		if len(failures("MatMul", &broken{bug: bug}, o)) == 0 {
			t.Errorf("the bug %q passes", bug)
		}
	}
}

// TestBrokenWithoutBug: the mutants fail for their bugs, not for how they are made.
func TestBrokenWithoutBug(t *testing.T) {
	for _, c := range checks {
		if list := failures(c.name, &broken{}, quick); len(list) > 0 {
			t.Errorf("%s: %s", c.name, list[0])
		}
	}
}
