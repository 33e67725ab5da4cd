// Package browsertest runs the tests of kernels/webgpu on a browser's WebGPU: the same Go code and
// the same WGSL, compiled by another compiler, which refuses what ours lets pass.
package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience is how long the suite may take: the browser runs shaders on the processor.
const patience = 9 * time.Minute

// page runs the test binary and keeps what it prints, what WebGPU complains about, and its end.
const page = `<!doctype html><meta charset="utf-8"><title>tests</title>
<script src="wasm_exec.js"></script><script>
const lines = [], complaints = [];
let ended = null;
const log = console.log;
console.log = (...a) => { lines.push(a.join(" ")); log(...a); };
const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (d) {
  const device = await request.call(this, d);
  device.addEventListener("uncapturederror", e => complaints.push(e.error.message));
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = d => {
    const m = create(d);
    m.getCompilationInfo().then(i => { for (const x of i.messages) if (x.type === "error")
      complaints.push((d.label || "") + ":" + x.lineNum + ": " + x.message); });
    return m;
  };
  return device;
};
(async () => {
  const go = new Go();
  go.argv = ["webgpu.test", ...%s];
  go.env = { CI: "true" };
  go.exit = code => { ended = code; };
  const m = await WebAssembly.instantiateStreaming(fetch("test.wasm"), go.importObject);
  await go.run(m.instance);
  if (ended === null) ended = 0;
})().catch(e => { complaints.push(String(e)); ended = 99; });
</script>`

// build makes the test binary and the page in a folder.
func build(t *testing.T, args string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "test", "-c", "-o", filepath.Join(dir, "test.wasm"), "..")
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	js, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib/wasm/wasm_exec.js"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"wasm_exec.js": js,
		"index.html": fmt.Appendf(nil, page, args)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// browser starts a Chromium with WebGPU on its software driver.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil && path == "" {
			path = p
		}
	}
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no chromium, which CI needs")
		}
		t.Skip("no chromium here (Debian: apt-get install chromium)")
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path),
		chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("enable-unsafe-webgpu", true),
		chromedp.Flag("use-webgpu-adapter", "swiftshader"),
		chromedp.Flag("enable-features", "Vulkan,WebGPU"),
		chromedp.Flag("disable-gpu-watchdog", true), // a kernel may compile for seconds
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	return ctx
}

// ask evaluates an expression in the page.
func ask[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// TestInBrowser runs every test of the package on a part of the suite's sizes.
func TestInBrowser(t *testing.T) {
	if os.Getenv("CI") == "" && os.Getenv("TEST_GPU") == "" {
		t.Skip("minutes, as the browser runs shaders on the processor: make test-gpu does it")
	}
	ctx := browser(t)
	server := httptest.NewServer(http.FileServer(http.Dir(build(t,
		`["-test.v", "-test.run=Parts|SelfTest|Kernels|SVDExact"]`))))
	defer server.Close()
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); !ask[bool](t, ctx, "ended !== null"); {
		if time.Now().After(end) {
			t.Fatalf("after %v still running:\n%s", patience, ask[string](t, ctx, `lines.join("\n")`))
		}
		time.Sleep(200 * time.Millisecond)
	}
	time.Sleep(time.Second) // complaints come late
	text := ask[string](t, ctx, `lines.join("\n")`)
	if said := ask[string](t, ctx, `complaints.slice(0, 20).join("\n")`); said != "" {
		t.Errorf("WebGPU complains:\n%s", said)
	}
	if code := ask[int](t, ctx, "ended"); code != 0 || !strings.Contains(text, "PASS") {
		t.Errorf("the tests end with %d:\n%s", code, text)
	}
	t.Logf("%s", text)
}
