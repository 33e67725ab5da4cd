// Package devicetest holds every compute.Device to the loops that document it.
//
// It answers one question: does this device compute what the seam says? Each op has a check that
// runs the op at awkward shapes and compares every number with the documented loop in float64
// (oracle_*.go) under a bound that follows from f32 arithmetic (bounds.go). The tensors lie inside
// larger buffers of NaN, so a read or a write past an edge shows; outputs start as NaN; inputs must
// survive; every call is made twice and must give the same bits. Beyond the loop, properties
// (causality, shift invariance, rotations, ties) and central differences of every gradient.
//
// The same body runs on CPU loops, SIMD, assembly, WebAssembly and GPUs:
//
//	func TestConformance(t *testing.T) { devicetest.Run(t, openMyDevice) }
package devicetest

import (
	"hash/fnv"
	"math/rand/v2"
	"runtime/debug"
	"testing"

	"transformer2/shared/compute"
)

// Options scale the suite to the device. The zero value is the full suite.
type Options struct {
	// MaxDim drops the sizes with a dimension above it; 0 keeps all. A size that an op cannot do
	// without (one vocabulary, one head) stays.
	MaxDim int
	// Every keeps one of so many sizes of the long size tables; 0 and 1 keep all.
	Every int
	// Once leaves out the second call of each op that shows determinism.
	Once bool
	// Int8Inputs grants what compute.Device does not: that MatMul with a Q8 weight rounds each block
	// of BlockQ8 inputs of x to int8 with a scale of max|x|/127. Without it x stays f32.
	Int8Inputs bool
	// Seed of the inputs. Each check derives its own stream, so that checks do not shift each other.
	Seed uint64
}

// Run opens a device, runs every check as a subtest of t and closes the device.
func Run(t *testing.T, open func(t *testing.T) compute.Device) { RunOptions(t, open, Options{}) }

// RunOptions is Run at the sizes that o asks for.
func RunOptions(t *testing.T, open func(t *testing.T) compute.Device, o Options) {
	dev := open(t)
	t.Logf("device %q", dev.Name())
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.against(t, dev, o) })
	}
	if err := dev.Close(); err != nil {
		t.Errorf("closing %q: %v", dev.Name(), err)
	}
}

// reporter is the part of testing.TB that checks use, so that the suite's own tests can run a check
// against a broken device and see it fail.
type reporter interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	FailNow()
}

// check is one subtest.
type check struct {
	name string
	run  func(e *env)
}

// checks is the suite, in the order of compute.Device.
var checks = []check{
	{"Memory", checkMemory},
	{"Order", checkOrder},
	{"Views", checkViews},
	{"Pack", checkPack},
	{"PackQ8", func(e *env) { checkPackBlocks(e, compute.Q8) }},
	{"PackQ4", func(e *env) { checkPackBlocks(e, compute.Q4) }},
	{"UnpackRows", checkUnpackRows},
	{"PackFrom", checkPackFrom},
	{"Copy", checkCopy},
	{"Fill", checkFill},
	{"MatMul", checkMatMul},
	{"MatMulRows", checkMatMulRows},
	{"MatMulT", checkMatMulT},
	{"Gemm", checkGemm},
	{"ScaleCols", checkScaleCols},
	{"ColDot", checkColDot},
	{"Attention", checkAttention},
	{"AttentionCausal", checkAttentionCausal},
	{"AttentionGrad", checkAttentionGrad},
	{"Add", checkAdd},
	{"RMSNorm", checkRMSNorm},
	{"RMSNormGrad", checkRMSNormGrad},
	{"RoPE", checkRoPE},
	{"SwiGLU", checkSwiGLU},
	{"SwiGLUGrad", checkSwiGLUGrad},
	{"GatherRows", checkGatherRows},
	{"ScatterAddRows", checkScatterAddRows},
	{"ScatterRows", checkScatterRows},
	{"ArgMax", checkArgMax},
	{"TopK", checkTopK},
	{"LogProbs", checkLogProbs},
	{"LogProbsGrad", checkLogProbsGrad},
	{"KL", checkKL},
	{"KLGrad", checkKLGrad},
	{"KLForwardGrad", checkKLForwardGrad},
	{"SumSquares", checkSumSquares},
	{"AdamW", checkAdamW},
	{"ZeroRows", checkZeroRows},
	{"Differences", checkDifferences},
	{"Directional", checkDirectional},
	{"Panics", checkPanics},
}

// against runs c on dev. A panic of the device fails the check and leaves the others to run.
func (c check) against(r reporter, dev compute.Device, o Options) {
	r.Helper()
	h := fnv.New64a()
	h.Write([]byte(c.name))
	e := &env{r: r, dev: dev, opt: o, rng: rand.New(rand.NewPCG(o.Seed, h.Sum64()))}
	defer func() {
		if p := recover(); p != nil {
			r.Errorf("%s: panic: %v\n%s", e.label, p, debug.Stack())
		}
	}()
	c.run(e)
	if e.worst > 0 {
		r.Logf("largest error / bound: %.3f", e.worst)
	}
}
