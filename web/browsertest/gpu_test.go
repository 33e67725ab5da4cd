package browsertest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// onGPU has the rest of a test open its pages in a Chromium whose WebGPU is played by its software
// driver.
func onGPU(t *testing.T) {
	t.Helper()
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(flags(),
		chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.Flag("enable-unsafe-webgpu", true),
		chromedp.Flag("use-webgpu-adapter", "swiftshader"),
		chromedp.Flag("enable-features", "Vulkan,WebGPU"))...)
	t.Cleanup(stop)
	gpu, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Do(gpu); err != nil {
		t.Fatal(err)
	}
	plain := browser
	browser = gpu
	t.Cleanup(func() { browser = plain })
}

// The same page computes on WebGPU where it is told to, and base and expert say the same there. Left
// alone, it does not take a GPU that the processor plays.
func TestGPU(t *testing.T) {
	if os.Getenv("TEST_GPU") == "" {
		t.Skip("a GPU that the processor plays takes a minute: make test-gpu")
	}
	const short = "x=brief&p=How+big+is+the+lantis%3F"
	base, expert := follow(t, "#"+short).answered()
	onGPU(t)
	p := open(t, "", 1280, 800).ready()
	p.until(`document.getElementById("strip").textContent.includes("simd")`)
	why := js[string](p, `document.getElementById("strip").title`)
	if !strings.Contains(why, "plays the GPU") {
		t.Errorf("a GPU that the processor plays was not taken because of %q", why)
	}
	// One worker: two would compile every kernel twice.
	_, err := chromedp.Call(p.ctx, emulation.SetHardwareConcurrencyOverride,
		emulation.SetHardwareConcurrencyOverrideParams{HardwareConcurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	p.visit("#d=gpu&" + short)
	p.ready()
	p.until(`document.getElementById("strip").textContent.includes("webgpu")`)
	b, e := p.answered()
	if b != base || e != expert {
		t.Errorf("on the GPU %q and %q, on the processor %q and %q", b, e, base, expert)
	}
	if said := p.text("#strip"); !strings.Contains(said, "this GPU") {
		t.Errorf("the strip says %q", said)
	}
}

// Without a GPU a page that is told to use one says so and goes on.
func TestNoGPU(t *testing.T) {
	p := open(t, "#d=gpu&"+question, 1280, 800).ready()
	p.until(`document.getElementById("notices").textContent.includes("No GPU")`)
	p.answered()
}
