package bench

import (
	"context"
	"strings"
	"testing"

	"transformer2/native/bench/randmodel"
)

// tinyNative compares a shape that takes a moment.
func tinyNative(t *testing.T, env NativeEnv, threads int) []Figure {
	t.Helper()
	c := randmodel.Of15M
	c.Dim, c.Hidden, c.Layers, c.Heads, c.KVHeads, c.HeadDim = 64, 96, 2, 4, 4, 16
	env.Env, env.shapes = tiny(t), []nativeShape{{"tiny", c, 1, 0.5}}
	env.Device.Threads = threads
	env.Formats = []string{"f32", "q8_0", "q4_0"}
	var figures []Figure
	if err := Native(t.Context(), env, func(f Figure) { figures = append(figures, f) }); err != nil {
		t.Fatal(err)
	}
	return figures
}

// Without llama.cpp there are figures and no ratios, and what it would have written is left out.
func TestNativeAlone(t *testing.T) {
	t.Setenv(childRole, "generate")
	figures := tinyNative(t, NativeEnv{Packages: t.TempDir()}, 2)
	seen := map[string]bool{}
	for _, f := range figures {
		seen[f.Name] = true
		roof := strings.HasSuffix(f.Name, "of the roof") || strings.Contains(f.Name, "memory")
		if f.Value <= 0 || f.Unit == "" || (f.Ratio != 0) != roof {
			t.Errorf("%+v", f)
		}
		if !roof && !strings.Contains(f.Note, "npm") {
			t.Errorf("%s: note %q", f.Name, f.Note)
		}
	}
	for _, want := range []string{"decode tiny f32, 1 thread", "decode tiny q8_0, 2 threads",
		"prefill tiny f32, 2 threads", "decode tiny f32, 1 thread, of the roof",
		"t2 generate tiny as f32 --weights f32, peak resident memory"} {
		if !seen[want] {
			t.Errorf("no figure %q", want)
		}
	}
	if len(seen) != 14 {
		t.Errorf("%d figures: %v", len(seen), seen)
	}
}

func TestNativeCheck(t *testing.T) {
	testLlamaCpp(t)
	for _, f := range tinyNative(t, NativeEnv{Packages: "llamacpp/node_modules", Check: true}, 1) {
		if met, judged := f.Met(); !met || !judged {
			t.Errorf("%+v", f)
		}
	}
}

func TestNativeSpeed(t *testing.T) {
	testLlamaCpp(t)
	env := NativeEnv{Packages: "llamacpp/node_modules", Parts: []string{"speed"}}
	for _, f := range tinyNative(t, env, 1) {
		if f.Value <= 0 || f.Ratio <= 0 || f.Least > f.Ratio || f.Most < f.Ratio {
			t.Errorf("%+v", f)
		}
	}
}

// A request that the driver does not know, a model that is not there: errors, and it goes on.
func TestLlamaCppErrors(t *testing.T) {
	l := testLlamaCpp(t)
	ctx := context.Background()
	for _, request := range []string{"dance", "decode 1 1", "open /nonexistent.gguf 64 1 0 1",
		"quantize /nonexistent.gguf /nonexistent/to.gguf 2"} {
		if _, err := l.ask(ctx, measureLimit, "%s", request); err == nil {
			t.Errorf("%s is done", request)
		}
	}
	if a, err := l.ask(ctx, measureLimit, "about"); err != nil || a.text == "" {
		t.Errorf("about: %q, %v", a.text, err)
	}
}
