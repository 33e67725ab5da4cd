package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/native/bench/randmodel"
	"transformer2/native/mapped"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/pretrained"
)

// What decoding and prefill are measured on: decoded tokens follow a prompt.
const (
	decodeBehind  = 128
	decodeTokens  = 64
	quickTokens   = 16
	prefillTokens = 512
	nativeContext = 1024
)

// nativeShape is a shape that engines are compared on, and what its figures should be.
type nativeShape struct {
	name   string
	config llama.Config
	decode float64 // of llama.cpp's rate
	roof   float64 // of the rate at which memory gives the weights; 0: nothing is asked
}

var nativeShapes = []nativeShape{
	{"15M", randmodel.Of15M, 1.5, 0},
	{"42M", randmodel.Of42M, 1.2, 0},
	{"110M", randmodel.Of110M, 1, 0.85},
}

// wantPrompts is what prefill should be of llama.cpp's rate, in any shape.
const wantPrompts = 1.0

// nativeFormat is a format of weights, in a GGUF and on the device.
type nativeFormat struct {
	gguf string
	held compute.DType
}

var nativeFormats = []nativeFormat{{"f32", compute.F32}, {"bf16", compute.BF16},
	{"f16", compute.F16}, {"q8_0", compute.Q8}, {"q4_0", compute.Q4}}

// NativeEnv is what the comparison with llama.cpp is run with.
type NativeEnv struct {
	Env
	Packages string   // LlamaCppPackages, wherever it is
	Shapes   []string // of 15M, 42M and 110M; none: all
	Formats  []string // of f32, bf16, f16, q8_0 and q4_0; none: all
	Parts    []string // of NativeParts; none: all
	Check    bool     // whether the engines agree, in place of all that is measured

	shapes []nativeShape // in place of nativeShapes
}

// NativeParts are what the comparison consists of.
func NativeParts() []string { return []string{"speed", "memory", "load"} }

// wants says whether anything is measured on a shape.
func (e NativeEnv) wants(s nativeShape) bool {
	return chosen(e.Shapes, s.name) && (e.Check || chosen(e.Parts, "speed") ||
		s.roof > 0 && chosen(e.Parts, "memory"))
}

// nativeRun is a comparison while it runs.
type nativeRun struct {
	NativeEnv
	dir  string
	peer *llamaCpp // nil with why where there is none
	why  error
	emit func(Figure)
}

// Native compares this program with llama.cpp on the same files and the same number of threads, one
// and as many as env has, in turns, and emits every figure when it is there.
func Native(ctx context.Context, env NativeEnv, emit func(Figure)) error {
	dir, err := os.MkdirTemp("", "t2-bench-native-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &nativeRun{NativeEnv: env, dir: dir, emit: emit}
	if r.peer, r.why = startLlamaCpp(ctx, env.Packages, dir); r.why == nil {
		defer r.peer.close()
	}
	shapes := env.shapes
	if shapes == nil {
		shapes = nativeShapes
	}
	for _, s := range shapes {
		if env.wants(s) && ctx.Err() == nil {
			err = errors.Join(err, r.shape(ctx, s))
		}
	}
	if len(env.Shapes)+len(env.Formats) == 0 && !env.Check && ctx.Err() == nil {
		err = errors.Join(err, r.large(ctx))
	}
	return errors.Join(err, ctx.Err())
}

// chosen says whether a name is among those asked for; none means all.
func chosen(names []string, name string) bool {
	return len(names) == 0 || slices.Contains(names, name)
}

// shape compares all formats of a shape.
func (r *nativeRun) shape(ctx context.Context, s nativeShape) error {
	r.say("%s random weights", s.name)
	dir, err := os.MkdirTemp(r.dir, s.name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var types []string
	for _, f := range nativeFormats {
		if f.held != compute.Q4 && (chosen(r.Formats, f.gguf) || f.held == compute.F32) {
			types = append(types, f.gguf)
		}
	}
	model, err := randmodel.Make(ctx, dir, s.config, 1, types...)
	if err != nil {
		return err
	}
	for _, f := range nativeFormats {
		if !chosen(r.Formats, f.gguf) {
			continue
		}
		file := model.GGUF[f.gguf]
		if f.held == compute.Q4 {
			if r.why != nil {
				continue // this program reads Q4_0 and does not write it
			}
			file, err = r.peer.quantized(ctx, model.GGUF["f32"], f.gguf, q4FileType)
			if err != nil {
				return err
			}
		}
		if err := r.format(ctx, s, f, file); err != nil {
			return fmt.Errorf("%s %s: %w", s.name, f.gguf, err)
		}
	}
	return nil
}

// format compares one file on each number of threads.
func (r *nativeRun) format(ctx context.Context, s nativeShape, f nativeFormat, file string) error {
	if r.Check {
		return r.check(ctx, s, f, file)
	}
	if chosen(r.Parts, "memory") && s.roof > 0 {
		if err := r.memory(ctx, s.name+" as "+f.gguf, f.held.String(), file, file); err != nil {
			return err
		}
	}
	if !chosen(r.Parts, "speed") {
		return nil
	}
	counts := []int{1}
	if n := r.threads(); n > 1 {
		counts = append(counts, n)
	}
	for _, threads := range counts {
		r.say("%s %s, %s", s.name, f.gguf, threadsWord(threads))
		if err := r.speed(ctx, s, f, file, threads); err != nil {
			return err
		}
		debug.FreeOSMemory()
	}
	return nil
}

// speed compares decoding and prefill.
func (r *nativeRun) speed(ctx context.Context, s nativeShape, f nativeFormat, file string,
	threads int) error {
	o, err := openNative(ctx, r.Env, file, f.held, threads)
	if err != nil {
		return err
	}
	defer o.dev.Close()
	decode, prefill, who := absent(r.why), absent(r.why), "llama.cpp"
	if r.why == nil {
		if decode, prefill, who, err = r.rivals(ctx, file, threads); err != nil {
			return err
		}
	}
	read, err := newReading(o.dev, o.bytes)
	if err != nil {
		return err
	}
	p := plan{budget: r.short(6 * time.Second), least: 3, warm: true}
	if r.Quick {
		p.least = 2
	}
	tokens := r.tokens()
	d, err := p.turns(ctx, o.decodeSide(tokens), decode, side{run: read.run(r.Env)})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s %s, %s", s.name, f.gguf, threadsWord(threads))
	figure := Figure{Name: "decode " + name, Unit: "tokens/s", Want: atLeast(s.decode)}.
		versus(who, d[0], d[1], float64(tokens))
	roof := scaled(d[2], float64(tokens)) // the weights are read once a token
	share := Figure{Name: "decode " + name + ", of the roof", Unit: "tokens/s"}.
		versus("the weights summed up", d[0], roof, float64(tokens))
	figure.Note = note(figure.Note, fmt.Sprintf("%.2f of the roof, %.4g", share.Ratio, share.Peer))
	r.emit(figure)
	if s.roof > 0 {
		share.Want = atLeast(s.roof)
		r.emit(share)
	}
	if d, err = p.turns(ctx, o.prefillSide(), prefill); err != nil {
		return err
	}
	r.emit(Figure{Name: "prefill " + name, Unit: "tokens/s", Want: atLeast(wantPrompts)}.
		versus(who, d[0], d[1], prefillTokens))
	return nil
}

// absent is the side of a peer that is not there.
func absent(why error) side {
	return side{peer: true, run: func(context.Context) (float64, error) { return 0, why }}
}

// rivals are llama.cpp's sides, with flash attention or without, whichever decodes faster.
func (r *nativeRun) rivals(ctx context.Context, file string, threads int) (decode, prefill side,
	who string, err error) {
	decode = r.peer.side("decode %d %d", decodeBehind, r.tokens())
	probe := r.peer.side("decode %d %d", decodeBehind, quickTokens)
	prefill = r.peer.side("prefill %d", prefillTokens)
	best, flash := [2]float64{math.Inf(1), math.Inf(1)}, false
	for i, on := range []bool{false, true} {
		if err := r.peer.open(ctx, file, nativeContext, threads, on); err != nil {
			return decode, prefill, "", err
		}
		for range 3 { // the first finds nothing in the caches
			seconds, err := probe.run(ctx)
			if err != nil {
				return decode, prefill, "", err
			}
			best[i] = min(best[i], seconds)
		}
	}
	who = r.peer.version
	if flash = best[1] < best[0]; flash {
		who += ", flash attention"
	}
	return decode, prefill, who, r.peer.open(ctx, file, nativeContext, threads, flash)
}

// note joins what a reader must know.
func note(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// scaled is a series of n times the work.
func scaled(s series, n float64) series {
	t := series{err: s.err}
	for _, seconds := range s.seconds {
		t.seconds = append(t.seconds, n*seconds)
	}
	return t
}

// native is a model on the CPU that decodes and takes prompts.
type native struct {
	dev   *cpu.Device
	g     *llama.Generator
	ids   []int32
	bytes int64 // of the weights that a token reads
}

func openNative(ctx context.Context, env Env, file string, held compute.DType, threads int) (
	*native, error) {
	dev, err := env.device(threads)
	if err != nil {
		return nil, err
	}
	n := &native{dev: dev}
	m, err := openGGUF(ctx, dev, file, held)
	if err == nil {
		n.g, err = m.LM.NewGenerator(1, nativeContext)
	}
	if err != nil {
		dev.Close()
		return nil, err
	}
	n.ids = someTokens(prefillTokens, m.LM.Vocab)
	for _, l := range append(m.LM.Linears(), &m.LM.Head) {
		n.bytes += l.W.Bytes()
	}
	return n, nil
}

// openGGUF loads a GGUF as t2 does.
func openGGUF(ctx context.Context, dev compute.Device, file string, held compute.DType) (
	*engine.Model, error) {
	files, name := mapped.FS(filepath.Dir(file)), filepath.Base(file)
	format, err := pretrained.Open(files, name, pretrained.Options{Context: nativeContext})
	if err != nil {
		return nil, err
	}
	return engine.Open(ctx, dev, engine.Source{Name: file, Files: files, Weights: name, Format: format},
		held)
}

// tokens is how many tokens are decoded in a turn.
func (r *nativeRun) tokens() int {
	if r.Quick {
		return quickTokens
	}
	return decodeTokens
}

// decodeSide gives the seconds of so many tokens.
func (n *native) decodeSide(tokens int) side {
	return side{run: func(ctx context.Context) (float64, error) {
		_, rest, err := n.generate(ctx, decodeBehind, tokens+1)
		return rest, err
	}}
}

// prefillSide gives the seconds of a prompt to the first token.
func (n *native) prefillSide() side {
	return side{run: func(ctx context.Context) (float64, error) {
		first, _, err := n.generate(ctx, prefillTokens, 1)
		return first, err
	}}
}

// generate gives the seconds to the first token of a prompt, and from it to the last.
func (n *native) generate(ctx context.Context, prompt, tokens int) (first, rest float64, err error) {
	begin := time.Now()
	var at, end time.Time
	_, err = n.g.Run(ctx, []llama.Request{{Prompt: n.ids[:prompt], MaxTokens: tokens,
		OnToken: func(int32, []float32) bool {
			if end = time.Now(); at.IsZero() {
				at = end
			}
			return true
		}}})
	return max(at.Sub(begin).Seconds(), clock), max(end.Sub(at).Seconds(), clock), err
}
