package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"transformer2/native/bench/randmodel"
	"transformer2/native/mapped"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/pretrained"
)

// Bounds on loading: of the time that the bytes take to be read into memory, and the bytes beside the
// file that a process may have.
const (
	mostLoad   = 1.2
	mostBeside = 300e6
)

// largeContext is the context that a large model is opened with: its keys and values are no part of
// what is measured.
const largeContext = 256

// large loads a model of 2 GB, as a Hugging Face directory has it.
func (r *nativeRun) large(ctx context.Context) error {
	c, name := randmodel.Of1B, "2 GB of safetensors"
	if r.Quick {
		c.Layers, name = 4, "a part of 2 GB of safetensors"
	}
	r.say("%s", name)
	dir := filepath.Join(r.dir, "large")
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := randmodel.MakeLarge(dir, c, 1); err != nil {
		return err
	}
	if chosen(r.Parts, "load") {
		if err := r.load(ctx, dir, name); err != nil {
			return err
		}
	}
	if chosen(r.Parts, "memory") {
		return r.memory(ctx, "of "+name, "bf16", dir, filepath.Join(dir, "model.safetensors"))
	}
	return nil
}

// load is the time to the first token, against reading the file into memory as large as it is.
func (r *nativeRun) load(ctx context.Context, dir, name string) error {
	path := filepath.Join(dir, "model.safetensors")
	file := side{run: func(context.Context) (float64, error) {
		debug.FreeOSMemory() // what the other side had
		begin := time.Now()
		data, err := os.ReadFile(path)
		took := time.Since(begin).Seconds()
		if err == nil && len(data) == 0 {
			err = fmt.Errorf("%s is empty", path)
		}
		return took, err
	}}
	s, err := plan{least: 3, warm: true}.turns(ctx, side{run: func(ctx context.Context) (float64,
		error) {
		debug.FreeOSMemory()
		return r.firstToken(ctx, dir)
	}}, file)
	if err != nil {
		return err
	}
	f := Figure{Name: fmt.Sprintf("load %s to the first token, %s", name, threadsWord(r.threads())),
		Unit: "s", Against: "the bytes read into memory", Want: atMost(mostLoad)}
	if r.Quick { // what does not grow with the file weighs too much
		f.Want = ""
	}
	r.emit(lessIsMore(f, s[0], s[1]))
	return nil
}

// firstToken opens a model in a directory and continues a prompt by one token.
func (r *nativeRun) firstToken(ctx context.Context, dir string) (seconds float64, err error) {
	begin := time.Now()
	dev, err := r.device(r.threads())
	if err != nil {
		return 0, err
	}
	defer dev.Close()
	files := mapped.FS(dir)
	format, err := pretrained.Open(files, "", pretrained.Options{Context: largeContext})
	if err != nil {
		return 0, err
	}
	m, err := engine.Open(ctx, dev, engine.Source{Name: dir, Files: files, Format: format}, compute.BF16)
	if err != nil {
		return 0, err
	}
	g, err := m.LM.NewGenerator(1, largeContext)
	if err != nil {
		return 0, err
	}
	_, err = g.Run(ctx, []llama.Request{{Prompt: []int32{1, 2, 3, 4}, MaxTokens: 1}})
	return time.Since(begin).Seconds(), err
}

// memory watches t2 generate with a model, whose weights lie in file.
func (r *nativeRun) memory(ctx context.Context, model, held, ref, file string) error {
	name := fmt.Sprintf("t2 generate %s --weights %s, peak resident memory", model, held)
	r.say("%s", name)
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	peak, err := peakOf(ctx, r.Env, highWater, "generate", "--model", ref, "--weights", held, "--context",
		fmt.Sprint(largeContext), "--prompt", randmodel.Question, "--max-tokens", "8")
	if err != nil {
		return err
	}
	f := Figure{Name: name, Unit: "MB", Note: notMeasured}
	if peak > 0 {
		f = bound(name, "MB", peak/1e6, (float64(info.Size())+mostBeside)/1e6)
		f.Against = "the file and 300 MB"
	}
	r.emit(f)
	return nil
}
