package shared_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// forbidden lists which packages of the module a package may not import, and why.
var forbidden = []struct{ from, to, why string }{
	{"shared/", "kernels/", "the science must not know what computes it"},
	{"shared/", "native", "the science has no screen"},
	{"shared/", "wasm", "the science has no screen"},
	{"shared/", "web", "the science has no screen"},
	{"kernels/", "native", "a device serves every face"},
	{"kernels/", "wasm", "a device serves every face"},
	{"kernels/", "web", "a device serves every face"},
	{"wasm", "native", "the faces meet in shared/engine"},
	{"wasm", "web", "templ must stay out of the WebAssembly binary"},
	{"web", "native", "the page does not know which engine it talks to"},
	{"web", "wasm", "the page does not know which engine it talks to"},
	{"web", "kernels/", "the page computes nothing"},
	{"native/cli", "web", "only native/server shows pages"},
	{"kernels/", "shared/llama", "a device knows ops, not models"},
	{"kernels/", "shared/svf", "a device knows ops, not models"},
	{"shared/task", "shared/llama", "no model lives in a task"},
	{"shared/compute", "shared/llama", "the seam knows no models"},
}

// outside lists which packages from elsewhere only some folders may import, and why.
var outside = []struct{ pkg, home, why string }{
	{"github.com/gogpu/wgpu", "kernels/webgpu", "one package owns the GPU library"},
	{"github.com/spf13/cobra", "native/", "flags belong to the terminal"},
	{"github.com/a-h/templ", "web", "pages belong to the page"},
	{"net/http", "native/", "the science has no network"},
	{"gonum.org/v1/gonum", "", "it is the cross-check in tests, not the engine"},
}

// Imports point one way, on every platform that we build for. Tests may cross the lines.
func TestImportsPointOneWay(t *testing.T) {
	for _, platform := range [][2]string{{"linux", "amd64"}, {"js", "wasm"}} {
		for pkg, imports := range list(t, platform[0], platform[1]) {
			for _, to := range imports {
				check(t, platform[0]+"/"+platform[1], pkg, to)
			}
		}
	}
}

const module = "transformer2/"

func check(t *testing.T, platform, pkg, to string) {
	from := strings.TrimPrefix(pkg, module)
	if inside, ok := strings.CutPrefix(to, module); ok {
		for _, f := range forbidden {
			if strings.HasPrefix(from, f.from) && strings.HasPrefix(inside, f.to) {
				t.Errorf("%s: %s imports %s: %s", platform, from, inside, f.why)
			}
		}
		return
	}
	for _, o := range outside {
		if strings.HasPrefix(to, o.pkg) && (o.home == "" || !strings.HasPrefix(from, o.home)) {
			t.Errorf("%s: %s imports %s: %s", platform, from, to, o.why)
		}
	}
}

// list gives the imports of every package of the module, tests left out.
func list(t *testing.T, goos, goarch string) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %s/%s: %v", goos, goarch, err)
	}
	packages := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 0 {
			packages[fields[0]] = fields[1:]
		}
	}
	if len(packages) < 10 {
		t.Fatalf("go list for %s/%s names %d packages, want the whole module", goos, goarch, len(packages))
	}
	return packages
}
