package browsertest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// serve starts t2 serve on the site with more arguments and gives the page's address.
func serve(t *testing.T, more ...string) (url string) {
	t.Helper()
	t2 := filepath.Join(t.TempDir(), "t2")
	build := exec.Command("go", "build", "-o", t2, "./native")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(t2, append([]string{"serve", siteDir, "--addr", "127.0.0.1:0"}, more...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`http://\S+/`).FindString(line)
}

// TestNative: the page has a model that t2 serve answers for; answers, Σ and an expert trained there are
// those of the page's own engine, and stay when the page is loaded anew. Two pages share the model.
func TestNative(t *testing.T) {
	p := openAt(t, serve(t, "--model", "zoo:tako", "--model", "zoo:tako-b"), "#m=zoo:tako", 1200,
		900).ready()
	base, expert := p.answered()
	if base == expert || base == "" {
		t.Errorf("base %q, expert %q", base, expert)
	}
	p.until(`document.getElementById("strip").innerText.includes("native engine")`)
	for _, view := range []string{"sigma", "experts", "passes"} {
		p.fill(view)
	}
	p.do(`history.replaceState(null, "", "#m=zoo:tako&view=play"); location.reload()`)
	p.until(`document.querySelector("#model optgroup")`)
	p.ready().answered()

	second := openAt(t, p.url, "#m=zoo:tako", 800, 600).ready()
	if again, _ := second.answered(); again != base {
		t.Errorf("the first page was told %q, the second %q", base, again)
	}
	second.enter("model", "zoo:tako-b", "change") // which is refused as long as the first page is there
	second.until(`document.getElementById("notices").innerText.includes("another page uses")`)

	p.enter("model", "tako", "change") // back to the page's own engine
	p.until(`document.getElementById("strip")?.innerText.includes("wasm engine")`)
	own, _ := p.answered()
	if own != base {
		t.Errorf("the page's engine says %q, t2 serve's %q", own, base)
	}
}
