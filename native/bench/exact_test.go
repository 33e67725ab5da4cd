package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/native/bench/randmodel"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/task"
	"transformer2/shared/tokenizer"
	"transformer2/shared/zoo"
)

// testLlamaCpp starts llama.cpp. Tests are left out where it is not installed, but not in CI.
func testLlamaCpp(t *testing.T) *llamaCpp {
	t.Helper()
	l, err := startLlamaCpp(context.Background(), "llamacpp/node_modules", t.TempDir())
	if err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

// randomText is n tokens of a vocabulary.
func randomText(seed uint64, n, vocab int) []int32 {
	rng := rand.New(rand.NewPCG(seed, 0))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(vocab))
	}
	return ids
}

// agrees compares m with llama.cpp on a file.
func agrees(t *testing.T, l *llamaCpp, m *llama.Model, file string, prompt, text []int32) agreement {
	t.Helper()
	a, err := l.agree(context.Background(), m, file, t.TempDir(), prompt, text)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %v", filepath.Base(file), a)
	return a
}

func onCPU(t *testing.T) *cpu.Device {
	t.Helper()
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

// Random weights: this program on a file, against llama.cpp on the same numbers widened to f32, which
// is what is computed here in every format, and against llama.cpp on the file itself, which rounds
// what it multiplies with: to 16 bits for weights of 16 bits, to 8 for Q8_0 and Q4_0. How far that
// brings it from itself in f32 is a matter of the model; ours is as far from it, and no further.
func TestExactRandom(t *testing.T) {
	l := testLlamaCpp(t)
	for _, c := range []struct {
		shape   string
		formats []string
	}{{"15M", []string{"f32", "bf16", "f16", "q8_0", "q4_0"}}, {"42M", []string{"f32", "q8_0"}},
		{"110M", []string{"f16"}}} {
		t.Run(c.shape, func(t *testing.T) {
			i := slices.IndexFunc(nativeShapes, func(s nativeShape) bool { return s.name == c.shape })
			model := randomModel(t, l, nativeShapes[i], c.formats)
			for _, f := range nativeFormats {
				if slices.Contains(c.formats, f.gguf) {
					exactRandom(t, l, model.GGUF[f.gguf], f)
				}
			}
		})
	}
}

func randomModel(t *testing.T, l *llamaCpp, s nativeShape, formats []string) *randmodel.Model {
	t.Helper()
	written := slices.DeleteFunc(slices.Clone(formats), func(name string) bool { return name == "q4_0" })
	model, err := randmodel.Make(t.Context(), t.TempDir(), s.config, 1, written...)
	if err == nil && slices.Contains(formats, "q4_0") {
		model.GGUF["q4_0"], err = l.quantized(t.Context(), model.GGUF["f32"], "q4_0", q4FileType)
	}
	if err != nil {
		t.Fatal(err)
	}
	return model
}

func exactRandom(t *testing.T, l *llamaCpp, file string, f nativeFormat) {
	m, err := openGGUF(t.Context(), onCPU(t), file, f.held)
	if err != nil {
		t.Fatal(err)
	}
	prompt, text := randomText(1, exactPrompt, m.LM.Vocab), randomText(2, 100, m.LM.Vocab)
	if f.held != compute.F32 {
		a := agrees(t, l, m.LM, file, prompt, text)
		if a.apart > mostApart[f.gguf] || f.held == compute.F16 && a.top1 < wantAgreement {
			t.Errorf("%s: %v, want logits within %g", f.gguf, a, mostApart[f.gguf])
		}
		file, err = l.quantized(t.Context(), file, f.gguf+"-as-f32", wideFileType)
		if err != nil {
			t.Fatal(err)
		}
	}
	if a := agrees(t, l, m.LM, file, prompt, text); !a.exact() {
		t.Errorf("%s: %v, want %d, all, within %g", filepath.Base(file), a, exactTokens, exactApart)
	}
}

// mostApart is a bound on what llama.cpp's own rounding does to these models' logits. Measured: F16
// 0.008 (15M), 0.023 (110M); BF16 0.07; Q8_0 0.20 (15M), 0.29 (42M).
var mostApart = map[string]float64{"f16": 0.05, "bf16": 0.15, "q8_0": 0.6, "q4_0": 0.6}

// Trained models: both of the zoo, written as F32, F16 and Q8_0.
func TestExactZoo(t *testing.T) {
	l := testLlamaCpp(t)
	for _, name := range zoo.Names() {
		t.Run(name, func(t *testing.T) {
			s := zooSession(t, name, compute.F32)
			for _, f := range nativeFormats {
				if f.held == compute.BF16 || f.held == compute.Q4 {
					continue
				}
				file := writeVoice(t, s, engine.Base(), f.gguf)
				m, err := openGGUF(t.Context(), onCPU(t), file, f.held)
				if err != nil {
					t.Fatal(err)
				}
				exactAnswers(t, l, m.LM, m.Tok, file, f)
			}
		})
	}
}

// An expert folded into the weights here says the same there.
func TestExactExpert(t *testing.T) {
	l := testLlamaCpp(t)
	s := zooSession(t, zoo.Default, compute.F32)
	v, err := s.Voice("math")
	if err != nil {
		t.Fatal(err)
	}
	file := writeVoice(t, s, v, "f32")
	m, err := s.As(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	exactAnswers(t, l, m, s.Model.Tok, file, nativeFormats[0])
}

func zooSession(t *testing.T, name string, held compute.DType) *engine.Session {
	t.Helper()
	files, err := zoo.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	dev := onCPU(t)
	m, err := engine.Open(t.Context(), dev, engine.Source{Name: name, Files: files}, held)
	if err != nil {
		t.Fatal(err)
	}
	return engine.NewSession(dev, m, &checkpoint.Memory{})
}

// writeVoice is what t2 convert does.
func writeVoice(t *testing.T, s *engine.Session, v engine.Voice, kind string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), kind+".gguf")
	typ, err := checkpoint.ParseGGUFType(kind)
	if err == nil {
		err = checkpoint.AtomicWrite(file, func(w io.Writer) error {
			return s.WriteGGUF(t.Context(), w, v, typ)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// zooApart bounds the logits of a trained model. Measured over both: F16 0.004, Q8_0 0.09.
var zooApart = map[string]float64{"f32": exactApart, "f16": 0.02, "q8_0": 0.3}

// exactAnswers compares what a model says to prompts of the corpus, and the scores on the way through
// its answers.
func exactAnswers(t *testing.T, l *llamaCpp, m *llama.Model, tok *tokenizer.Tokenizer, file string,
	f nativeFormat) {
	t.Helper()
	positions, alike := 0.0, 0.0
	corpus := task.NewCorpus(1, task.DefaultMixture())
	for i := range int64(12) {
		d := corpus.Document(i)
		said := []tokenizer.Message{{Role: tokenizer.RoleUser, Content: d.Prompt},
			{Role: tokenizer.RoleAssistant, Content: d.Answer}}
		prompt, err := tok.Chat(nil, said[:1], true)
		if err != nil {
			t.Fatal(err)
		}
		text, err := tok.Chat(nil, said, false)
		if err != nil {
			t.Fatal(err)
		}
		a := agrees(t, l, m, file, prompt, text)
		if f.held == compute.F32 && !a.exact() || a.apart > zooApart[f.gguf] {
			t.Errorf("%s, %.20q…: %v, want logits within %g", f.gguf, d.Prompt, a, zooApart[f.gguf])
		}
		positions, alike = positions+float64(len(text)), alike+a.top1*float64(len(text))
	}
	t.Logf("%s: the same likeliest token at %.4f of %g positions", f.gguf, alike/positions, positions)
	if alike/positions < wantAgreement {
		t.Errorf("%s: the same likeliest token at %.4f of %g positions, want %g", f.gguf,
			alike/positions, positions, wantAgreement)
	}
}

// Every type of blocks that is read stands for the numbers that ggml, which packs it, gives for it.
func TestBlocks(t *testing.T) {
	l := testLlamaCpp(t)
	const n = 16 * 256
	rng := rand.New(rand.NewPCG(3, 0))
	var numbers []byte
	for i := range n {
		v := float32(rng.NormFloat64()) * float32(1+i/256)
		numbers = binary.LittleEndian.AppendUint32(numbers, math.Float32bits(v))
	}
	dir := t.TempDir()
	from, packed, to := filepath.Join(dir, "from"), filepath.Join(dir, "packed"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, numbers, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []checkpoint.GGUFType{checkpoint.GGUFF16, checkpoint.GGUFBF16, checkpoint.GGUFQ8,
		checkpoint.GGUFQ4, checkpoint.GGUFQ41, checkpoint.GGUFQ50, checkpoint.GGUFQ51,
		checkpoint.GGUFQ2K, checkpoint.GGUFQ3K, checkpoint.GGUFQ4K, checkpoint.GGUFQ5K,
		checkpoint.GGUFQ6K} {
		if _, err := l.ask(t.Context(), measureLimit, "blocks %d %s %s %s %d", kind, from, packed, to,
			n); err != nil {
			t.Fatal(err)
		}
		want, err := readFloats(to, n)
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := os.ReadFile(packed)
		if err != nil {
			t.Fatal(err)
		}
		file := oneTensor(kind, n, blocks)
		g, err := checkpoint.OpenGGUF(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, n)
		if err := g.ReadInto("x", got); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			// A product and a sum may be one rounding there, or two.
			if math.Abs(float64(v-want[i])) > 1e-6*(math.Abs(float64(want[i]))+1) {
				t.Fatalf("type %d: number %d is %v, want %v", kind, i, v, want[i])
			}
		}
	}
}

// oneTensor is a GGUF with a tensor x of n numbers.
func oneTensor(kind checkpoint.GGUFType, n int, data []byte) []byte {
	le, file := binary.LittleEndian, []byte("GGUF")
	file = le.AppendUint32(file, 3)
	file = le.AppendUint64(le.AppendUint64(file, 1), 0) // tensors, metadata
	file = append(le.AppendUint64(file, 1), 'x')
	file = le.AppendUint64(le.AppendUint32(file, 1), uint64(n))
	file = le.AppendUint64(le.AppendUint32(file, uint32(kind)), 0) // its offset
	return append(append(file, make([]byte, -len(file)&31)...), data...)
}
