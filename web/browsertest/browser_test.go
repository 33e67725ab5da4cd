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

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// patience is how long the page may take for anything; a machine that does other work beside it,
// and plays a GPU, needs most of it.
const patience = 100 * time.Second

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

// flags are what every browser here is started with. Tabs are of one process, which compiles the
// engine once for all of them, and one that lies behind another goes on as if it were seen.
func flags() []chromedp.ExecAllocatorOption {
	return []chromedp.ExecAllocatorOption{chromedp.ExecPath(executable), chromedp.Headless,
		chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.Flag("process-per-site", true),
		chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.Flag("disable-background-networking", true),
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

// window is a tab of the browser: its own origin, so its own storage, and what went wrong in it.
type window struct {
	ctx    context.Context
	close  context.CancelFunc
	url    string
	server *httptest.Server // of the tab's own site
	mu     sync.Mutex
	wrong  []string // errors of the console, requests that left the origin
}

// tab is a window and the test that uses it. At the end of the test nothing may have gone wrong.
type tab struct {
	*testing.T
	*window
}

// open shows the page with a state, in a tab of the test's own, to a visitor who was never there.
func open(t *testing.T, hash string, width, height int64) *tab {
	t.Helper()
	return openWith(t, hash, width, height, http.FileServer(http.Dir(siteDir)))
}

func openWith(t *testing.T, hash string, width, height int64, site http.Handler) *tab {
	t.Helper()
	server := httptest.NewServer(site)
	t.Cleanup(server.Close)
	p := openAt(t, server.URL+"/", hash, width, height)
	p.server = server
	return p
}

// openAt shows the page of a server that runs already.
func openAt(t *testing.T, url, hash string, width, height int64) *tab {
	t.Helper()
	p := &tab{t, newWindow(t, url)}
	t.Cleanup(p.close)
	t.Cleanup(p.sound)
	p.viewport(width, height)
	p.visit(hash)
	return p
}

// shared is the window that follow gives: none before the first test, and after one that failed.
var shared *window

// follow takes a page that is open where a link leads. Its engine has answered other tests before:
// what a link says is as it says, and nothing else of the page may be what a test depends on.
func follow(t *testing.T, hash string) *tab {
	t.Helper()
	fresh := shared == nil
	if fresh {
		server := httptest.NewServer(http.FileServer(http.Dir(siteDir))) // until all tests end
		shared = newWindow(t, server.URL+"/")
	}
	p := &tab{t, shared}
	t.Cleanup(func() {
		p.sound()
		if p.forgive(); t.Failed() {
			p.close()
			shared = nil
		}
	})
	if _, err := chromedp.Call(p.ctx, page.BringToFront, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	p.viewport(1280, 800)
	if fresh {
		p.visit("")
		p.ready()
	}
	p.do(`document.getElementById("stop").click();
		document.activeElement.blur();
		for (const d of document.querySelectorAll("dialog[open]")) d.close();
		for (const b of document.querySelectorAll("#notices button")) b.click()`)
	p.until(`document.getElementById("stop").hidden`)
	js[bool](p, fmt.Sprintf(`new Promise((done) => {
		addEventListener("popstate", () => done(true), { once: true });
		if (location.hash === %[1]q) done(true); else location.hash = %[1]q;
	})`, hash))
	p.until(fmt.Sprintf("document.documentElement.lang.startsWith('zh') === %t",
		strings.Contains(hash, "lang=zh")))
	return p
}

// newWindow is for the page at url, which it does not open yet.
func newWindow(t *testing.T, url string) *window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	p := &window{ctx: ctx, close: cancel, url: url}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, p.requested); err != nil {
		t.Fatal(err)
	}
	go p.listen()
	return p
}

// viewport makes the page so large.
func (p *tab) viewport(width, height int64) {
	p.Helper()
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(width, height)); err != nil {
		p.Fatal(err)
	}
}

// listen collects what the console calls an error.
func (p *window) listen() {
	for m, err := range chromedp.Console(p.ctx) {
		if err != nil {
			return
		}
		if m.Type == "error" || m.Type == "exception" {
			p.blame("console: " + m.Text)
		}
	}
}

func (p *window) requested(ev any) {
	if e, ok := ev.(*network.EventRequestWillBeSent); ok {
		own := strings.HasPrefix(e.Request.URL, p.url)
		if !own && !strings.HasPrefix(e.Request.URL, "blob:") && !strings.HasPrefix(e.Request.URL, "data:") {
			p.blame("a request off the origin: " + e.Request.URL)
		}
	}
}

func (p *window) blame(what string) {
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
func (p *window) forgive() {
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
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
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

// still waits until nothing in the page changes any more.
func (p *tab) still() {
	p.Helper()
	js[bool](p, `new Promise((done) => {
		let last = setTimeout(done, 100, true);
		new MutationObserver(() => { clearTimeout(last); last = setTimeout(done, 100, true); })
			.observe(document.body,
				{ subtree: true, childList: true, attributes: true, characterData: true });
	})`)
}

// answered waits for both answers of the playground and gives them.
func (p *tab) answered() (base, expert string) {
	p.Helper()
	p.until(`document.getElementById("about-1").textContent && document.getElementById("differ").textContent`)
	return p.text("#answer-0"), p.text("#answer-1")
}

// search begins a search by two examples, which is what a generation's time depends on.
func (p *tab) search() {
	p.Helper()
	p.do(`document.getElementById("search-k").value = 2`)
	p.click("#search-run")
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
