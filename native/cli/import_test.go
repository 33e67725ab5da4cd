package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/checkpoint/torch/torchtest"
	"transformer2/shared/linalg"
	"transformer2/shared/svf"
)

// tinyWeights are the matrices of the tiny model.
func tinyWeights() *checkpoint.File {
	blob := must(checkpoint.OpenBlob(filepath.Join(tiny, "model.safetensors")))
	return must(checkpoint.Open(blob, blob.Size()))
}

// logitsFile is an expert of the tiny model as the released code saves it.
func logitsFile(t *testing.T, dir string) string {
	var file []torchtest.Tensor
	for i := range 3 * tinyConfig.Layers {
		p := make([]float32, tinyConfig.Dim)
		for k := range p {
			p[k] = float32((k*7+i)%11-5) / 4
		}
		file = append(file, torchtest.Tensor{Name: fmt.Sprintf("learnable_params_module_list.%d", i),
			DType: checkpoint.BF16, Storage: p, Shape: []int{len(p)}})
	}
	put(t, dir, "policy_params.pt", torchtest.Save(file...))
	return filepath.Join(dir, "policy_params.pt")
}

// An expert of the released code answers as itself, whether it holds logits or plain z.
func TestImportExpert(t *testing.T) {
	dir := t.TempDir()
	file := logitsFile(t, dir)
	says := func(name string, args ...string) any {
		t.Helper()
		out := filepath.Join(dir, name)
		l := lines(t, ok(t, append([]string{"import", "--model", tiny, file, "-o", out, "--json"},
			args...)...), "expert file numbers")[0]
		if l["numbers"] != 192.0 {
			t.Errorf("%v", l)
		}
		ok(t, "experts", "verify", "--model", tiny, out)
		return lines(t, ok(t, "generate", "--model", tiny, "--expert", out, "--json", "--prompt",
			question, "--max-tokens", "16"), answerFields)[0]["text"]
	}
	logits := says("logits.safetensors", "--task", "gsm8k")
	plain := says("plain.safetensors", "--parametrisation", "linear")
	base := lines(t, ok(t, "generate", "--model", tiny, "--json", "--prompt", question,
		"--max-tokens", "16"), answerFields)[0]["text"]
	if logits != plain || logits == base {
		t.Errorf("logits %q, plain z %q, base %q", logits, plain, base)
	}
	l := lines(t, ok(t, "experts", "inspect", "--model", tiny, filepath.Join(dir,
		"logits.safetensors"), "--json"), "expert task model base parametrisation scope seed numbers "+
		"mean_abs training? matrices?")[0]
	if l["task"] != "gsm8k" || l["scope"] != "mlp" || l["parametrisation"] != "sigmoid-nuclear" {
		t.Errorf("%v", l)
	}
}

// decompositionFile is a decomposition of the tiny model as the released code saves it: of every
// matrix, the embedding too, in f32.
func decompositionFile(t *testing.T, dir string) string {
	weights := tinyWeights()
	var file []torchtest.Tensor
	for _, name := range weights.Names() {
		info, _ := weights.Tensor(name)
		if len(info.Shape) != 2 {
			continue
		}
		w := must(weights.Float32(name))
		d := must(linalg.Basis(linalg.Plain{}, info.Shape[0], info.Shape[1], w))
		other := d.Other(linalg.Plain{}, w)
		u, v := other, d.Basis
		if d.Left {
			u, v = v, u
		}
		for _, part := range []struct {
			name  string
			data  []float64
			shape []int
		}{{".U", u, []int{d.Out, d.R}}, {".S", d.Sigma, []int{d.R}}, {".V", v, []int{d.In, d.R}}} {
			x := make([]float32, len(part.data))
			for i, v := range part.data {
				x[i] = float32(-v)
			}
			if part.name == ".S" {
				for i := range x {
					x[i] = -x[i]
				}
			}
			file = append(file, torchtest.Tensor{Name: name + part.name, DType: checkpoint.F32,
				Storage: x, Shape: part.shape})
		}
	}
	put(t, dir, "decomposed.pt", torchtest.Save(file...))
	return filepath.Join(dir, "decomposed.pt")
}

func TestImportDecomposition(t *testing.T) {
	dir := t.TempDir()
	file, cache := decompositionFile(t, dir), filepath.Join(dir, "cache")
	all := lines(t, ok(t, "import", "--model", tiny, "--cache", cache, file, "--json"), spectrumFields)
	if len(all) != 14 || all[0]["arithmetic"] != svf.ArithmeticTorch {
		t.Errorf("%d matrices, first %v", len(all), all[0])
	}
	for _, l := range lines(t, ok(t, "decompose", "--model", tiny, "--cache", cache, "--json"),
		spectrumFields) {
		if l["cached"] != true || l["arithmetic"] != svf.ArithmeticTorch {
			t.Errorf("%v is not the imported one", l)
		}
	}
	expert := logitsFile(t, dir)
	refused(t, t2("", "import", "--model", other, "--cache", cache, file), "decomposed.pt",
		"not this model's", "residual")
	refused(t, t2("", "import", "--model", tiny, "--cache", cache, file, "-o", dir+"/x"), "no -o")
	refused(t, t2("", "import", "--model", tiny, expert), "-o FILE")
	refused(t, t2("", "import", "--model", tiny, expert, "-o", expert), "--force")
	refused(t, t2("", "import", "--model", tiny, expert, "-o", dir+"/x", "--parametrisation", "tanh"),
		`"tanh"`, "sigmoid-nuclear")
	refused(t, t2("", "import", "--model", tiny, filepath.Join(tiny, "model.safetensors"), "-o",
		dir+"/x"), "model.safetensors", "want a zip")
	put(t, dir, "code.pt", torchtest.Zip(torchtest.File{Name: "a/data.pkl",
		Data: []byte("\x80\x02cos\nsystem\n.")}))
	refused(t, t2("", "import", "--model", tiny, dir+"/code.pt", "-o", dir+"/x"), `"system"`, `"os"`)
	if _, err := os.Stat(dir + "/x"); err == nil {
		t.Error("a refused import left a file")
	}
}
