package kernels

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// forbidden is WGSL that naga v0.19.0 compiles wrongly or not at all, that browsers refuse, or that
// is not on every device.
var forbidden = []struct {
	pattern string
	why     string
}{
	{`\boverride\b`, "naga rejects it, and browsers' values are dropped by the library"},
	{`\b(any|all)\(`, "naga rejects it"},
	{`\bvar(<private>|<function>)? *\w+ *(: *[\w<>, ]+)?;`, "naga leaves it undefined"},
	{`\bvar<private>`, "a composite initialiser becomes zero"},
	{`(?m)^const \w+(: *[\w<>, ]+)? *= *(array|vec)`, "indexed, it is all zeros"},
	{`ptr *< *workgroup`, "invalid SPIR-V"},
	{`\benable\b`, "not on every device"},
	{`\brequires\b`, "naga rejects it"},
	{`subgroup`, "not on every device, even in a comment"},
	{`\bf16\b[ ,>(]`, "not on every device"},
	{`\bswitch\b`, "naga wants a return after it"},
	{`\btanh\(`, "NaN for large arguments on SwiftShader"},
	{`atomicCompareExchange`, "wrong on lavapipe"},
	{`0x1?\.[0-9a-f]*p`, "naga does not read hexadecimal floats"},
	{`\b(target|pass|ref|shared|module|final|from|self|type|use|of|set|get|precise|resource)\b`,
		"a reserved word of WGSL"},
}

var (
	comment = regexp.MustCompile(`//[^\n]*`)
	logical = regexp.MustCompile(`&&|\|\|`)
)

// TestDialect holds every kernel to what naga and browsers both compile rightly.
func TestDialect(t *testing.T) {
	rules := map[*regexp.Regexp]string{}
	for _, f := range forbidden {
		rules[regexp.MustCompile(f.pattern)] = f.why
	}
	for _, v := range Variants() {
		source, err := Source(v)
		if err != nil {
			t.Fatalf("%+v: %v", v, err)
		}
		l, err := Describe(source)
		if err != nil {
			t.Fatalf("%+v: %v", v, err)
		}
		if n := l.Workgroup[0] * l.Workgroup[1] * l.Workgroup[2]; n > 256 || l.Workgroup[2] > 64 {
			t.Errorf("%+v: %d threads, want 256 or fewer", v, n)
		}
		if l.Shared > MaxShared {
			t.Errorf("%+v: %d bytes of workgroup memory, want %d or fewer", v, l.Shared, MaxShared)
		}
		if n := strings.Count(source, "var<workgroup>"); n != len(reShared.FindAllString(source, -1)) {
			t.Errorf("%+v: not every one of %d workgroup variables has a size that is known", v, n)
		}
		// Three products of a norm are only joined where a device says that it has nine.
		if n := len(l.Bindings); n > 8 && !(v.Norm && v.Count == 3 && n == 9) {
			t.Errorf("%+v: %d storage buffers, want 8 or fewer", v, n)
		}
		if n := words(source); n > ParamWords {
			t.Errorf("%+v: %d parameters, want %d or fewer", v, n, ParamWords)
		}
		code := comment.ReplaceAllString(source, "")
		for re, why := range rules {
			for _, at := range re.FindAllString(code, 3) {
				if !strings.HasPrefix(at, "var<workgroup>") {
					t.Errorf("%+v: %q: %s", v, at, why)
				}
			}
		}
		if strings.Contains(source, "subgroup") {
			t.Errorf("%+v: the library refuses a text with subgroup in it, even in a comment", v)
		}
		for _, line := range mixed(code) {
			t.Errorf("%+v: %q mixes && and || without parentheses", v, line)
		}
	}
}

// words counts the parameters of a kernel.
func words(source string) int {
	_, rest, _ := strings.Cut(source, "struct P {")
	fields, _, _ := strings.Cut(rest, "}")
	return strings.Count(fields, ":")
}

// mixed gives the lines where && and || meet in the same parentheses.
func mixed(code string) []string {
	var bad []string
	for line := range strings.Lines(code) {
		seen := []string{""} // the operator at each depth
		for i := 0; i < len(line); i++ {
			top := len(seen) - 1
			switch line[i] {
			case '(':
				seen = append(seen, "")
			case ')':
				seen = seen[:max(top, 1)]
			case '&', '|':
				if op := logical.FindString(line[i:min(i+2, len(line))]); op != "" {
					if seen[top] != "" && seen[top] != op {
						bad = append(bad, strings.TrimSpace(line))
					}
					seen[top] = op
					i++
				}
			}
		}
	}
	return bad
}

// TestMixed: the check itself.
func TestMixed(t *testing.T) {
	for line, want := range map[string]int{"a && b || c": 1, "(a && b) || c": 0,
		"if ((a) && b && (c))": 0, "(a || (b && c)) && d": 0, "f(a || b && c)": 1} {
		if got := len(mixed(line)); got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
}

// TestHeaders: a kernel's text begins with what it computes and what its bindings are.
func TestHeaders(t *testing.T) {
	for _, name := range Names() {
		data, err := files.ReadFile(name + ".wgsl")
		if err != nil {
			t.Fatal(err)
		}
		var head []string
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, "//") && !strings.HasPrefix(line, "{{") {
				break
			}
			head = append(head, line)
		}
		text := strings.Join(head, "")
		for _, part := range []string{"=", "| p {", "thread"} {
			if part == "| p {" {
				part = "p {"
			}
			if !strings.Contains(text, part) && !strings.Contains(text, "+=") {
				t.Errorf("%s.wgsl: the header %q does not have %q in it", name, text, part)
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	const good = `struct P { n: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
var<workgroup> s: array<vec4<f32>, 8>;
var<workgroup> n: u32;
@compute @workgroup_size(16, 4)
fn main() {}`
	l, err := Describe(good)
	want := Layout{Bindings: []Access{Write, Read}, Workgroup: [3]int{16, 4, 1}, Shared: 132}
	if err != nil || fmt.Sprint(l) != fmt.Sprint(want) {
		t.Errorf("%+v, %v, want %+v", l, err, want)
	}
	for _, change := range [][2]string{{"binding(1)", "binding(3)"}, {"binding(2)", "binding(1)"},
		{"@workgroup_size(16, 4)", ""}, {"vec4<f32>, 8", "mat4x4, 8"}, {"fn main", "fn other"}} {
		if l, err := Describe(strings.Replace(good, change[0], change[1], 1)); err == nil {
			t.Errorf("%q for %q: %+v, want an error", change[1], change[0], l)
		}
	}
	if _, err := Source(Variant{Name: "no such"}); err == nil {
		t.Error("a kernel that is not there has a source")
	}
}
