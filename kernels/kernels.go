// Package kernels holds the GPU's arithmetic: one WGSL file an op, or an op's gradient.
//
// The files are text/template sources: what is known when a pipeline is made (tile sizes, head
// size, type of the weights) is baked in as a constant, because the dialect that both naga and
// Tint compile rightly has no override constants. A Variant names a file and its constants; Source
// gives the WGSL; Describe reads entry, bindings and workgroup back from the text, so that the text
// is the only place where they stand.
//
// Every kernel has one entry point, main; its storage buffers are bindings 0 to n−1 of group 0, and
// its parameters, 20 words at most, are the uniform at binding n.
package kernels

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"text/template"
)

//go:embed *.wgsl
var files embed.FS

// Variant is a kernel with its constants. Fields that a kernel does not use are zero.
type Variant struct {
	Name string // of the file, without .wgsl
	Type string // how the weight is held: f32, f16, bf16, q8, q4; "" where B is a tensor
	Vec  bool   // tensors are read four numbers at a time: offsets and widths allow it

	// Matrix products. A tile of 4·RM·TY × 4·RN·TX numbers is made by TX·TY threads, each with
	// 4·RM × 4·RN of them.
	TX, TY, RM, RN int
	KA, KB         bool // the inner dimension runs along the rows of A, of B

	// Matrix times few vectors: Out outputs by a workgroup of Threads, Rows vectors at once, Unroll
	// loads of each output's weights under way.
	Out, Rows, Unroll, Threads int
	Teams                      int // of 32 threads that have outputs of their own and share the vectors

	Count int  // like ops done in one dispatch, each on tensors of its own
	Hold  int  // loads of a row that a norm's thread holds; 0: it loads twice
	Norm  bool // what a product multiplies is a norm without its scale; it writes the norm as well
	Sum   bool // a product is added to another tensor as well
	Gain  bool // and what a norm of the sum needs is written too
	Add   bool // a norm adds another tensor to its input first

	// Attention: numbers in a head, and query heads that share its keys.
	Dim, Group int
}

// Access is how a kernel uses a storage buffer.
type Access uint8

const (
	Read Access = iota
	Write
)

// Layout is what a kernel's text says about itself.
type Layout struct {
	Bindings  []Access // of its storage buffers; the uniform follows
	Workgroup [3]int   // threads
	Shared    int      // bytes of workgroup memory
}

// MaxShared is the workgroup memory that every WebGPU device has, in bytes.
const MaxShared = 16384

// ParamWords is the most 32-bit parameters that a kernel takes.
const ParamWords = 20

// Threads is the workgroup of the kernels that have no tiles.
const Threads = 256

var parsed = sync.OnceValues(func() (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{
		"seq": seq, "add": func(a, b int) int { return a + b },
		"mul": func(a, b int) int { return a * b }, "div": func(a, b int) int { return a / b },
		"mod": func(a, b int) int { return a % b },
	}).ParseFS(files, "*.wgsl")
})

// seq is 0 to n−1.
func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// Names lists the kernels in the order of their names.
func Names() []string {
	list, _ := fs.Glob(files, "*.wgsl") // the pattern is well formed
	var names []string
	for _, file := range list {
		if name := strings.TrimSuffix(file, ".wgsl"); name != "common" {
			names = append(names, name)
		}
	}
	return names
}

// Source is the WGSL of v.
func Source(v Variant) (string, error) {
	t, err := parsed()
	if err != nil {
		return "", fmt.Errorf("kernels: %w", err)
	}
	var b strings.Builder
	if err := t.ExecuteTemplate(&b, v.Name+".wgsl", v); err != nil {
		return "", fmt.Errorf("kernels: %s: %w", v.Name, err)
	}
	return b.String(), nil
}

var (
	reStorage   = regexp.MustCompile(`@group\(0\) @binding\((\d+)\) var<storage, (read|read_write)>`)
	reUniform   = regexp.MustCompile(`@group\(0\) @binding\((\d+)\) var<uniform> p: P;`)
	reWorkgroup = regexp.MustCompile(`@workgroup_size\((\d+)(?:, *(\d+))?(?:, *(\d+))?\)\s*fn main\(`)
	reShared    = regexp.MustCompile(`var<workgroup> \w+: (?:array<([^;]+), (\d+)>|(u32|f32));`)
)

// sizeOf is the bytes of the types that workgroup memory is made of.
var sizeOf = map[string]int{"f32": 4, "u32": 4, "vec4<f32>": 16}

// Describe reads the layout from a kernel's text. It fails where the text breaks the form that the
// package comment promises.
func Describe(source string) (Layout, error) {
	var l Layout
	for i, m := range reStorage.FindAllStringSubmatch(source, -1) {
		if m[1] != strconv.Itoa(i) {
			return l, fmt.Errorf("kernels: storage buffer %d is binding %s", i, m[1])
		}
		access := Read
		if m[2] == "read_write" {
			access = Write
		}
		l.Bindings = append(l.Bindings, access)
	}
	u := reUniform.FindAllStringSubmatch(source, -1)
	if len(u) != 1 || u[0][1] != strconv.Itoa(len(l.Bindings)) {
		return l, fmt.Errorf("kernels: want the parameters p at binding %d", len(l.Bindings))
	}
	w := reWorkgroup.FindStringSubmatch(source)
	if w == nil {
		return l, fmt.Errorf("kernels: no entry point main with a workgroup size")
	}
	for i := range l.Workgroup {
		l.Workgroup[i] = 1
		if w[i+1] != "" {
			l.Workgroup[i], _ = strconv.Atoi(w[i+1]) // digits, by the pattern
		}
	}
	for _, m := range reShared.FindAllStringSubmatch(source, -1) {
		n, _ := strconv.Atoi(m[2])
		size, ok := sizeOf[m[1]+m[3]]
		if !ok {
			return l, fmt.Errorf("kernels: workgroup memory of %s", m[1])
		}
		l.Shared += size * max(n, 1)
	}
	return l, nil
}
