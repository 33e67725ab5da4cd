package cli

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gofrs/flock"

	"transformer2/shared/svf"
)

// What is wrong with a command line is said in one sentence, before or instead of an answer.
func TestRefusedCommandLines(t *testing.T) {
	foreign := filepath.Join(other, "experts", "math.safetensors")
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"verb": {[]string{"genrate"}, []string{`"genrate"`, `did you mean "generate"`,
			"compare"}},
		"sub-verb": {[]string{"experts", "lst"}, []string{`"lst"`, `"list"`, "inspect"}},
		"flag": {[]string{"generate", "--promt", "x"},
			[]string{"--promt", `"--prompt"`, "--max-tokens"}},
		"flag's value": {[]string{"generate", "--max-tokens", "many"},
			[]string{"max-tokens", "many", "--help"}},
		"words": {[]string{"eval", "math"}, []string{"flags only", "math"}},
		"device": {[]string{"generate", "--prompt", "x", "--device", "tpu"},
			[]string{`"tpu"`, "gpu:NAME"}},
		"no experts named": {[]string{"experts", "verify"}, []string{"at least one expert"}},

		"no model": {[]string{"generate", "--model", "zoo:octopus", "--prompt", "x"},
			[]string{"octopus"}},
		"no directory": {[]string{"generate", "--model", "/none", "--prompt", "x"},
			[]string{"/none", "no such file", "zoo:NAME"}},
		"empty prompt": {[]string{"generate", "--prompt", ""}, []string{"prompt is empty"}},
		"blank prompt": {[]string{"generate", "--prompt", " \n"}, []string{"prompt is empty"}},
		"two prompts": {[]string{"generate", "--prompt", "a", "b"},
			[]string{"twice", `"a"`, `"b"`}},
		"broken prompt": {[]string{"generate", "--prompt", "caf\xc3 au lait"},
			[]string{"UTF-8", "byte 3", "0xc3"}},
		"broken system": {[]string{"generate", "--prompt", "x", "--system", "\xff"},
			[]string{"system text", "UTF-8"}},
		"long prompt": {[]string{"generate", "--prompt", strings.Repeat("word ", 400)},
			[]string{"tokens", "256", "shorten"}},
		"long comparing": {[]string{"compare", "--prompt", strings.Repeat("word ", 400)},
			[]string{"tokens", "256", "shorten"}},

		"no tokens": {[]string{"generate", "--prompt", "x", "--max-tokens", "0"},
			[]string{"--max-tokens is 0", "1 or more"}},
		"temperature": {[]string{"generate", "--prompt", "x", "--temp", "-1"},
			[]string{"temperature is -1"}},
		"top-p": {[]string{"generate", "--prompt", "x", "--top-p", "1.5"},
			[]string{"top-p is 1.5"}},
		"NaN": {[]string{"generate", "--prompt", "x", "--min-p", "NaN"},
			[]string{"min-p is NaN"}},
		"empty stop": {[]string{"generate", "--prompt", "x", "--stop", ""},
			[]string{"--stop is empty"}},
		"threads": {[]string{"generate", "--prompt", "x", "--threads", "-2"},
			[]string{"--threads is -2"}},
		"kernels": {[]string{"generate", "--prompt", "x", "--kernels", "gpu"},
			[]string{`"gpu"`, "loops"}},

		"expert": {[]string{"generate", "--prompt", "x", "--expert", "maths"},
			[]string{`"maths"`, "classify, code, math, reasoning"}},
		"empty expert": {[]string{"generate", "--prompt", "x", "--expert", ""},
			[]string{"--expert is empty"}},
		"expert's path": {[]string{"generate", "--prompt", "x", "--expert", "./none.safetensors"},
			[]string{"none.safetensors", "no such file"}},
		"other's expert": {[]string{"generate", "--prompt", "x", "--expert", foreign},
			[]string{"another model", "fingerprint", "tiny has", "on other with"}},
		"two voices": {[]string{"generate", "--prompt", "x", "--expert", "math", "--mix",
			"math=1"}, []string{"--expert", "--mix", "one of them"}},

		"strategy": {[]string{"adapt", "--prompt", "x", "--adapt", "magic"},
			[]string{`"magic"`, "classifier"}},
		"choices": {[]string{"generate", "--prompt", "x", "--adapt", "prompt", "--expert",
			"math"}, []string{"--adapt", "--expert"}},
		"eval strategy": {[]string{"eval", "--adapt", "oracel"}, []string{`"oracel"`, `"oracle"`}},
		"long adapting": {[]string{"adapt", "--prompt", strings.Repeat("word ", 400)},
			[]string{"tokens", "256", "shorten"}},

		"mix empty": {[]string{"generate", "--prompt", "x", "--mix", ""},
			[]string{"empty", "NAME=NUMBER"}},
		"mix negative": {[]string{"generate", "--prompt", "x", "--mix", "math=-1"},
			[]string{"math", "-1", "negative"}},
		"mix words": {[]string{"generate", "--prompt", "x", "--mix", "math=much"},
			[]string{`"much"`, "not a number"}},
		"mix NaN": {[]string{"generate", "--prompt", "x", "--mix", "math=NaN"},
			[]string{"NaN", "not a number"}},
		"mix unknown": {[]string{"generate", "--prompt", "x", "--mix", "maths=1"},
			[]string{`"maths"`, "classify, code, math, reasoning"}},
		"mix foreign": {[]string{"generate", "--prompt", "x", "--mix", foreign + "=1"},
			[]string{"another model", "fingerprint"}},
		"mix of base": {[]string{"experts", "mix", "math=0", "-o", "/none/x"},
			[]string{"base model", "0"}},

		"task": {[]string{"eval", "--task", "maths"}, []string{`"maths"`, `did you mean "math"`,
			"reasoning-hard"}},
		"split": {[]string{"eval", "--split", "dev"}, []string{"--split", `"dev"`,
			"train, valid or test"}},
		"n":      {[]string{"eval", "--n", "0"}, []string{"--n is 0"}},
		"scope":  {[]string{"decompose", "--scope", "head"}, []string{`"head"`, "mlp"}},
		"layers": {[]string{"decompose", "--scope", "mlp:7"}, []string{"no matrix", "mlp:7"}},
		"svd":    {[]string{"decompose", "--svd", "tpu"}, []string{`"tpu"`, "cpu or gpu"}},
		"svd on a CPU": {[]string{"decompose", "--svd", "gpu"}, []string{"--device gpu",
			"--device cpu"}},
		"svd exact": {[]string{"decompose", "--svd", "gpu", "--device", "gpu", "--exact"},
			[]string{"--exact", "f64"}},
		"gpu bench": {[]string{"bench", "--device", "gpu", "--only", "decode"},
			[]string{`"decode"`, "fold svd"}},
		"bench": {[]string{"bench", "--only", "speed"}, []string{`"speed"`, "decode"}},
		"diff":  {[]string{"experts", "diff", "math", "base"}, []string{`"base"`, "no z"}},
		"turns": {[]string{"chat", "--turns", "-1"}, []string{"--turns is -1"}},
		"method": {[]string{"train", "--task", "math", "--out", t.TempDir(), "--method", "luck"},
			[]string{`"luck"`, "reinforce"}},
		"train": {[]string{"train", "--task", "maths", "--out", t.TempDir()},
			[]string{`"maths"`, "reasoning"}},
		"no out": {[]string{"train", "--task", "math"}, []string{`"out"`}},
	} {
		t.Run(name, func(t *testing.T) {
			args := c.args
			if args[0] != "genrate" && args[0] != "bench" &&
				!strings.Contains(strings.Join(args, " "), "--model") &&
				len(args) > 1 && args[1] != "lst" {
				args = append(args, "--model", tiny)
			}
			refused(t, t2("", args...), c.want...)
		})
	}
}

// A broken model is refused by the name of the broken file.
func TestRefusedModels(t *testing.T) {
	weights := get(t, tiny, "model.safetensors")
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	nan := bytes.Clone(weights)
	binary.LittleEndian.PutUint32(nan[len(nan)-4:], math.Float32bits(float32(math.NaN())))
	huge := bytes.Clone(weights)
	binary.LittleEndian.PutUint64(huge, 1<<60)
	for name, c := range map[string]struct {
		file string
		data []byte
		want []string
	}{
		"no config": {"config.json", nil, []string{"config.json"}},
		"half a config": {"config.json", cut(get(t, tiny, "config.json")),
			[]string{"config.json"}},
		"a large config": {"config.json", bytes.Repeat([]byte(" "), 2<<20),
			[]string{"config.json", "more than"}},
		"a greedy config": {"config.json", bytes.Replace(get(t, tiny, "config.json"),
			[]byte(`"hidden_size": 32`), []byte(`"hidden_size": 8000000`), 1),
			[]string{"model.safetensors"}},
		"another config": {"config.json", bytes.Replace(get(t, tiny, "config.json"),
			[]byte(`: 48`), []byte(`: 64`), 1), []string{"model.safetensors", "gate_proj", "48",
			"64"}},
		"no tokenizer": {"tokenizer.json", nil, []string{"tokenizer.json"}},
		"half a tokenizer": {"tokenizer.json", cut(get(t, tiny, "tokenizer.json")),
			[]string{"tokenizer.json"}},
		"foreign tokenizer": {"tokenizer.json",
			[]byte(`{"version":"1.0","model":{"type":"WordPiece"}}`), []string{"tokenizer.json"}},
		"no weights":       {"model.safetensors", nil, []string{"model.safetensors"}},
		"half the weights": {"model.safetensors", cut(weights), []string{"model.safetensors"}},
		"no bytes":         {"model.safetensors", []byte{}, []string{"model.safetensors"}},
		"foreign weights": {"model.safetensors", []byte("GGUF\x03\x00\x00\x00 and so on"),
			[]string{"model.safetensors"}},
		"a huge header": {"model.safetensors", huge, []string{"model.safetensors"}},
		"NaN weights":   {"model.safetensors", nan, []string{"model.safetensors", "NaN"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyModel(t)
			if c.data == nil {
				check(os.Remove(filepath.Join(dir, c.file)))
			} else {
				put(t, dir, c.file, c.data)
			}
			refused(t, t2("", "generate", "--model", dir, "--prompt", "x"), append(c.want, dir)...)
		})
	}
}

// A broken expert is refused by its name, wherever it is used.
func TestRefusedExperts(t *testing.T) {
	whole := get(t, tiny, "experts/math.safetensors")
	nan := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(nan[len(nan)-4:], math.Float32bits(float32(math.Inf(1))))
	with := func(change func(z map[string][]float32)) []byte {
		e := must(svf.ReadExpert(bytes.NewReader(whole), int64(len(whole))))
		change(e.Z)
		var b bytes.Buffer
		check(svf.WriteExpert(&b, e))
		return b.Bytes()
	}
	dir := copyModel(t)
	for name, c := range map[string]struct {
		data []byte
		want []string
	}{
		"empty":   {[]byte{}, []string{"safetensors"}},
		"half":    {whole[:len(whole)/2], []string{"safetensors"}},
		"Inf":     {nan, []string{"+Inf"}},
		"a model": {get(t, tiny, "model.safetensors"), []string{"not an expert file"}},
		"short": {with(func(z map[string][]float32) {
			z[svf.Name(1, svf.K)] = z[svf.Name(1, svf.K)][1:]
		}), []string{"layers.1.self_attn.k_proj", "15", "16"}},
		"lacking": {with(func(z map[string][]float32) { delete(z, svf.Name(1, svf.K)) }),
			[]string{"no vector", "layers.1.self_attn.k_proj"}},
		"too deep": {with(func(z map[string][]float32) {
			z[svf.Name(9, svf.K)] = make([]float32, 16)
		}), []string{"layers.9.self_attn.k_proj"}},
	} {
		t.Run(name, func(t *testing.T) {
			put(t, dir, "experts/broken.safetensors", c.data)
			for _, args := range [][]string{
				{"generate", "--prompt", "x", "--expert", "broken"},
				{"generate", "--prompt", "x", "--mix", "broken=0.5"},
				{"experts", "list"}, {"experts", "inspect", "broken"},
			} {
				refused(t, t2("", append(args, "--model", dir)...), append(c.want, "broken")...)
			}
			// verify says the same on standard output and counts on standard error.
			r := t2("", "experts", "verify", "broken", "--model", dir)
			if r.code != exitError || !strings.Contains(r.out, c.want[0]) ||
				!strings.Contains(r.err, "1 of 1") {
				t.Errorf("verify: exit %d, %q, %q", r.code, r.out, r.err)
			}
		})
	}
}

// A decomposition that cannot be kept is computed all the same; one that is damaged is named.
func TestCacheTroubles(t *testing.T) {
	notADir := filepath.Join(t.TempDir(), "file")
	check(os.WriteFile(notADir, []byte("x"), 0o666))
	args := []string{"generate", "--model", tiny, "--prompt", "x", "--max-tokens", "2", "--expert",
		"math", "--cache"}
	if r := t2("", append(args, notADir)...); r.code != 0 || !strings.Contains(r.err, "not kept") {
		t.Errorf("exit %d, stderr %q", r.code, r.err)
	}
	dir := t.TempDir()
	ok(t, append(args, dir)...)
	files := must(filepath.Glob(filepath.Join(dir, "*")))
	check(os.WriteFile(files[0], []byte("damaged"), 0o666))
	refused(t, t2("", append(args, dir)...), filepath.Base(files[0]), "delete it")
}

// Two trainings cannot write into one directory.
func TestRunDirectoryIsLocked(t *testing.T) {
	dir := t.TempDir()
	lock := flock.New(filepath.Join(dir, ".lock"))
	if free, err := lock.TryLock(); !free || err != nil {
		t.Fatal(free, err)
	}
	defer lock.Unlock()
	refused(t, t2("", "train", "--model", tiny, "--task", "math", "--out", dir), "another training",
		dir)
	refused(t, t2("", "pretrain", "--out", dir), "another training", dir)
}

// A model that came without experts says so where they are needed.
func TestNoExperts(t *testing.T) {
	dir := copyModel(t)
	check(os.RemoveAll(filepath.Join(dir, "experts")))
	refused(t, t2("", "compare", "--model", dir, "--prompt", "x"), "without experts", "t2 train")
	refused(t, t2("", "adapt", "--model", dir, "--prompt", "x"), "no expert", "math")
	refused(t, t2("", "adapt", "--model", dir, "--prompt", "x", "--adapt", "classifier"),
		"no expert", "math")
	refused(t, t2("", "generate", "--model", dir, "--prompt", "x", "--expert", "math"),
		`no expert "math"`)
	if text := ok(t, "experts", "list", "--model", dir); !strings.Contains(text,
		"without experts") {
		t.Errorf("%q", text)
	}
	dir = copyModel(t)
	check(os.Remove(filepath.Join(dir, "experts", "classify.safetensors")))
	refused(t, t2("", "adapt", "--model", dir, "--prompt", "x", "--adapt", "classifier"),
		"classifier", "classify")
}
