package kernels

import (
	"strings"
	"testing"
	"text/template"
)

// TestTemplates: the kernels' texts are what text/template makes of them.
func TestTemplates(t *testing.T) {
	other, err := template.New("").Funcs(template.FuncMap{
		"seq": seq, "add": func(a, b int) int { return a + b },
		"mul": func(a, b int) int { return a * b }, "div": func(a, b int) int { return a / b },
		"mod": func(a, b int) int { return a % b },
	}).ParseFS(files, "*.wgsl")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range Variants() {
		got, err := Source(v)
		if err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		if err := other.ExecuteTemplate(&want, v.Name+".wgsl", v); err != nil {
			t.Fatal(err)
		}
		if got != want.String() {
			for i, line := range strings.Split(got, "\n") {
				if w := strings.Split(want.String(), "\n"); i >= len(w) || line != w[i] {
					t.Fatalf("%+v: line %d is %q, want %q", v, i+1, line, w[i])
				}
			}
		}
	}
}

// TestTemplateErrors: what is no template, or does what it cannot, is an error and no panic.
func TestTemplateErrors(t *testing.T) {
	for _, text := range []string{"{{if .Vec}}", "{{.Vec", `{{add (1 2}}`, `{{"a}}`, "{{add 1 2)}}",
		"{{.None}}", "{{$none}}", "{{none}}", `{{template "none"}}`, `{{add .Vec 1}}`, "{{add 1}}",
		"{{range .Rows}}{{end}}", "{{div 1 0}}", "{{$x = 1}}", "{{seq -1}}", "{{}}", "{{end}}"} {
		p := &parser{rest: text, defined: map[string][]node{}}
		nodes, last := p.list()
		if p.err != nil || last != "" {
			continue
		}
		p.defined["x"] = nodes
		if out, err := expand(p.defined, "x", Variant{}); err == nil {
			t.Errorf("%s gives %q, want an error", text, out)
		}
	}
}
