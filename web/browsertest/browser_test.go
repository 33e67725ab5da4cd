// Package browsertest drives the page in a headless Chromium.
//
// It builds the site as `t2 site` does, or takes the one that the environment variable SITE names,
// and serves it as any file host would. SCREENSHOTS names a folder for pictures of every view.
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
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// patience is how long the page may take for anything; a busy machine decodes 100 tokens a second.
const patience = 40 * time.Second

var (
	siteDir string
	browser context.Context
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	path := chromium()
	if path == "" {
		if os.Getenv("CI") == "true" {
			fmt.Fprintln(os.Stderr, "browsertest: no chromium, which CI needs")
			return 1
		}
		fmt.Println("browsertest: skipped, no chromium here (apt-get install chromium)")
		return 0
	}
	dir, err := os.MkdirTemp("", "browsertest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if siteDir = os.Getenv("SITE"); siteDir == "" {
		siteDir = filepath.Join(dir, "site")
		if err := buildSite(dir); err != nil {
			fmt.Fprintln(os.Stderr, "browsertest: the site:", err)
			return 1
		}
	}
	executable = path
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(flags(),
		chromedp.DisableGPU, chromedp.UserDataDir(filepath.Join(dir, "profile")))...)
	defer stop()
	var cancel context.CancelFunc
	browser, cancel = chromedp.NewContext(alloc)
	defer cancel()
	if err := chromedp.Do(browser); err != nil {
		fmt.Fprintln(os.Stderr, "browsertest: chromium:", err)
		return 1
	}
	return m.Run()
}

// executable is the browser's.
var executable string

// flags are what every browser here is started with.
func flags() []chromedp.ExecAllocatorOption {
	return []chromedp.ExecAllocatorOption{chromedp.ExecPath(executable), chromedp.Headless,
		chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true)}
}

func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	return ""
}

// buildSite does what `make site` does.
func buildSite(dir string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	wasm, t2 := filepath.Join(dir, "engine.wasm"), filepath.Join(dir, "t2")
	for _, c := range []struct {
		env  []string
		args []string
	}{
		{[]string{"GOOS=js", "GOARCH=wasm"}, []string{"go", "build", "-ldflags=-s -w", "-o", wasm, "./wasm"}},
		{nil, []string{"go", "build", "-o", t2, "./native"}},
		{nil, []string{t2, "site", "--out", siteDir, "--wasm", wasm, "--wasm-exec",
			filepath.Join(strings.TrimSpace(string(root)), "lib/wasm/wasm_exec.js")}},
	} {
		cmd := exec.Command(c.args[0], c.args[1:]...)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), c.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(c.args, " "), err, out)
		}
	}
	return nil
}

// tab is a page of its own: its own origin, so its own storage, and what went wrong in it.
type tab struct {
	*testing.T
	ctx    context.Context
	url    string
	server *httptest.Server
	mu     sync.Mutex
	wrong  []string // errors of the console, requests that left the origin
}

// open shows the page with a state. At the end of the test nothing may have gone wrong.
func open(t *testing.T, hash string, width, height int64) *tab {
	t.Helper()
	return openWith(t, hash, width, height, http.FileServer(http.Dir(siteDir)))
}

func openWith(t *testing.T, hash string, width, height int64, site http.Handler) *tab {
	t.Helper()
	server := httptest.NewServer(site)
	ctx, cancel := chromedp.NewContext(browser)
	p := &tab{T: t, ctx: ctx, url: server.URL + "/", server: server}
	t.Cleanup(func() { cancel(); server.Close() })
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, p.requested); err != nil {
		t.Fatal(err)
	}
	go p.listen()
	t.Cleanup(p.sound)
	p.visit(hash)
	return p
}

// listen collects what the console calls an error.
func (p *tab) listen() {
	for m, err := range chromedp.Console(p.ctx) {
		if err != nil {
			return
		}
		if m.Type == "error" || m.Type == "exception" {
			p.blame("console: " + m.Text)
		}
	}
}

func (p *tab) requested(ev any) {
	if e, ok := ev.(*network.EventRequestWillBeSent); ok {
		own := strings.HasPrefix(e.Request.URL, p.url)
		if !own && !strings.HasPrefix(e.Request.URL, "blob:") && !strings.HasPrefix(e.Request.URL, "data:") {
			p.blame("a request off the origin: " + e.Request.URL)
		}
	}
}

func (p *tab) blame(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = append(p.wrong, what)
}

// sound fails the test if anything went wrong that it did not forgive.
func (p *tab) sound() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.wrong {
		p.Error(w)
	}
}

// forgive forgets what went wrong: the test meant it to.
func (p *tab) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = nil
}

// visit opens the page anew, with a state.
func (p *tab) visit(hash string) {
	p.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Navigate("about:blank"), chromedp.Navigate(p.url+hash)); err != nil {
		p.Fatalf("navigate: %v", err)
	}
}

// ready waits until the model answers.
func (p *tab) ready() *tab {
	p.Helper()
	p.until(`!!document.documentElement.dataset.ready`)
	return p
}

// js evaluates an expression, a promise's value included.
func js[T any](p *tab, expression string) T {
	p.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	return v
}

// do runs statements.
func (p *tab) do(statements string) {
	p.Helper()
	js[bool](p, "(() => {"+statements+"; return true})()")
}

// until waits for an expression to be true.
func (p *tab) until(expression string) {
	p.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if js[bool](p, "!!("+expression+")") {
			return
		}
	}
	p.Fatalf("after %v still not: %s\nnotices: %s", patience, expression,
		js[string](p, `document.getElementById("notices").innerText`))
}

// click presses an element of a selector, as soon as it can be.
func (p *tab) click(selector string) {
	p.Helper()
	p.until(fmt.Sprintf("document.querySelector(%q)?.matches(':not([hidden], :disabled)')", selector))
	p.do(fmt.Sprintf("document.querySelector(%q).click()", selector))
}

// enter gives a field a value, as a visitor's event of that kind does.
func (p *tab) enter(id, value, event string) {
	p.Helper()
	p.do(fmt.Sprintf(`const field = document.getElementById(%q);
		field.value = %q;
		field.dispatchEvent(new Event(%q))`, id, value, event))
}

// text is what an element shows.
func (p *tab) text(selector string) string {
	p.Helper()
	return js[string](p, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// answered waits for both answers of the playground and gives them.
func (p *tab) answered() (base, expert string) {
	p.Helper()
	p.until(`document.getElementById("about-1").textContent && document.getElementById("differ").textContent`)
	return p.text("#answer-0"), p.text("#answer-1")
}

// fill opens a view and has it show something.
func (p *tab) fill(view string) {
	p.Helper()
	p.click("#tab-" + view)
	switch view {
	case "play":
		p.answered()
		p.do(`document.querySelector("#answer-1 .token").click()`)
	case "passes":
		p.click("#passes-run")
		p.until(`document.getElementById("pass2-who").textContent`)
	}
}
