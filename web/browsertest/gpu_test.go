package browsertest

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// withGPU runs f in a Chromium whose WebGPU is played by its software driver.
func withGPU(t *testing.T, f func()) {
	t.Helper()
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(flags(),
		chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.Flag("enable-unsafe-webgpu", true),
		chromedp.Flag("use-webgpu-adapter", "swiftshader"),
		chromedp.Flag("enable-features", "Vulkan,WebGPU"))...)
	defer stop()
	gpu, cancel := chromedp.NewContext(alloc)
	defer cancel()
	if err := chromedp.Do(gpu); err != nil {
		t.Fatal(err)
	}
	plain := browser
	browser = gpu
	defer func() { browser = plain }()
	f()
}

// The same page computes on WebGPU where it is told to, and base and expert say the same there.
func TestGPU(t *testing.T) {
	withGPU(t, func() {
		t.Run("asked", func(t *testing.T) {
			p := open(t, "#d=cpu&"+question, 1280, 800).ready()
			base, expert := p.answered()
			p.visit("#d=gpu&" + question)
			p.ready()
			p.until(`document.getElementById("strip").textContent.includes("webgpu")`)
			b, e := p.answered()
			if b != base || e != expert {
				t.Errorf("on the GPU %q and %q, on the processor %q and %q", b, e, base, expert)
			}
			if said := p.text("#strip"); !strings.Contains(said, "this GPU") {
				t.Errorf("the strip says %q", said)
			}
		})
		t.Run("left alone", func(t *testing.T) {
			p := open(t, "#"+question, 1280, 800).ready()
			p.until(`document.getElementById("strip").textContent.includes("simd")`)
			why := js[string](p, `document.getElementById("strip").title`)
			if !strings.Contains(why, "plays the GPU") {
				t.Errorf("a GPU that the processor plays was not taken because of %q", why)
			}
		})
	})
}

// Without a GPU a page that is told to use one says so and goes on.
func TestNoGPU(t *testing.T) {
	p := open(t, "#d=gpu&"+question, 1280, 800).ready()
	p.until(`document.getElementById("notices").textContent.includes("No GPU")`)
	p.answered()
}
