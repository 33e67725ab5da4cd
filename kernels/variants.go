package kernels

// TileM and TileN are the numbers of a tile of a matrix product.
func (v Variant) TileM() int { return 4 * v.RM * v.TY }

// TileN: see TileM.
func (v Variant) TileN() int { return 4 * v.RN * v.TX }

// GemmThreads is the workgroup of a matrix product.
func (v Variant) GemmThreads() int { return v.TX * v.TY }

// Rounds is how often the threads load: a task, of which a tile has one for each row of A and each
// column of B, is sixteen numbers.
func (v Variant) Rounds() int {
	return (v.TileM() + v.TileN() + v.GemmThreads() - 1) / v.GemmThreads()
}

// Steps is the unrolled loop of matvec and the plain one that does the rest.
func (v Variant) Steps() []int {
	if v.Unroll > 1 {
		return []int{v.Unroll, 1}
	}
	return []int{1}
}

// Columns is the vec4 of a head.
func (v Variant) Columns() int { return (v.Dim + 3) / 4 }

// Shares is how many keys' values attention_rows adds at once, with a thread to each vec4.
func (v Variant) Shares() int { return min(Threads/v.Columns(), 32) }

// Turns is how often they do so for 32 keys.
func (v Variant) Turns() int { return (32 + v.Shares() - 1) / v.Shares() }

// Wide is how many vec4 of a row each of 16 threads holds.
func (v Variant) Wide() int { return (v.Columns() + 15) / 16 }

// pieces is what the templates "piece" and "head" need beside the variant.
type pieces struct {
	Variant
	Sources []string
	Dest    string
}

// With names the buffers that are read by vec4.
func (v Variant) With(sources ...string) pieces { return pieces{Variant: v, Sources: sources} }

// To names the buffer that is written by vec4.
func (v Variant) To(dest string) pieces { return pieces{Variant: v, Dest: dest} }

// Keys reports whether the gradient is that of the keys; the values' is the same without ds.
func (v Variant) Keys() bool { return v.Name == "attention_grad_k" }

// Broad is how many vec4 of a row each of 32 threads holds.
func (v Variant) Broad() int { return (v.Columns() + 31) / 32 }

// weightTypes are the ways in which a weight is held.
var weightTypes = []string{"f32", "f16", "bf16", "q8", "q4"}

// Scaled reports whether the weight's numbers have a scale for each block of 32.
func (v Variant) Scaled() bool { return v.Type == "q8" || v.Type == "q4" }

// Per is how many times four numbers of the weight a vec4 of words holds.
func (v Variant) Per() int {
	switch v.Type {
	case "f32":
		return 1
	case "q8":
		return 4
	case "q4":
		return 8
	}
	return 2
}

// Parts is how many vec4 of words a block with a scale takes.
func (v Variant) Parts() int { return 8 / v.Per() }

// Eights is how many times eight numbers of a half or smaller type a vec4 of words holds.
func (v Variant) Eights() int { return max(1, v.Per()/2) }

// Held is the vec4 of workgroup memory of few: 256 numbers of each row, or the parts of sums.
func (v Variant) Held() int { return max(64*v.Rows, 192*min(v.Teams, 4)) }

// Loads are the rows of x that a thread of few brings, less those that the threads before it bring.
func (v Variant) Loads() []int {
	var list []int
	for row := 0; row < v.Rows; row += max(1, v.Teams/2) {
		list = append(list, row)
	}
	return list
}

// quad is the sums of four rows, from Row, and an output.
type quad struct{ Out, Row int }

// Batches are the sums of few, 16 at a time.
func (v Variant) Batches() [][]quad {
	var list [][]quad
	for i := range v.Out * v.Rows / 4 {
		if i%4 == 0 {
			list = append(list, nil)
		}
		last := &list[len(list)-1]
		*last = append(*last, quad{Out: 4 * i / v.Rows, Row: 4 * i % v.Rows})
	}
	return list
}

// Variants lists at least one of each way in which a template can go, for those who check kernels.
func Variants() []Variant {
	var list []Variant
	for _, name := range Names() {
		switch name {
		case "gemm":
			list = append(list, gemmVariants()...)
		case "few", "few_t":
			for i, typ := range weightTypes[1:] {
				v := Variant{Name: name, Type: typ, Rows: 4 << (i % 3), Count: 1}
				if name == "few" {
					v.Out, v.Count, v.Teams = 8, 1+i%2, 2+i%2*2
				}
				list = append(list, v)
			}
		case "matvec", "matvec_gate", "matvec_t":
			list = append(list, matvecVariants(name)...)
		case "copy":
			list = append(list, Variant{Name: name}, Variant{Name: name, Vec: true})
		case "attention", "attention_rows", "attention_grad_q", "attention_grad_k",
			"attention_grad_v":
			for i, dim := range []int{6, 8, 32, 48, 64, 96, 128, 256} {
				list = append(list, Variant{Name: name, Vec: dim%4 == 0, Dim: dim,
					Group: max(1, min(4, 512/dim)-i%2)})
			}
		case "pack", "unpack", "unpack_rows":
			for _, typ := range weightTypes {
				if name != "pack" || !(Variant{Type: typ}).Scaled() {
					list = append(list, Variant{Name: name, Type: typ})
				}
			}
		case "rms_norm":
			for i := range 8 {
				list = append(list, Variant{Name: name, Vec: i%2 == 1, Add: i/2%2 == 1, Hold: i / 4 * 4})
			}
		case "rope", "scatter_rows":
			list = append(list, Variant{Name: name, Count: 1}, Variant{Name: name, Count: 2})
		default:
			list = append(list, Variant{Name: name})
		}
	}
	return list
}

func gemmVariants() []Variant {
	list := []Variant{{Name: "gemm", Vec: true, TX: 16, TY: 16, RM: 2, RN: 2}}
	for i, typ := range append([]string{""}, weightTypes...) {
		for _, vec := range []bool{false, true} {
			v := Variant{Name: "gemm", Type: typ, Vec: vec, TX: 16, TY: 16, RM: 1 + i%2, RN: 1 + i%2}
			for _, k := range [][2]bool{{true, true}, {true, false}, {false, false}} {
				v.KA, v.KB = k[0], k[1]
				list = append(list, v)
			}
			v.TX, v.TY, v.RM, v.RN, v.KA = 32, 4, 1, 1, true
			list = append(list, v)
			v.TY, v.KB = 8, true
			list = append(list, v)
		}
	}
	return list
}

func matvecVariants(name string) []Variant {
	var list []Variant
	for _, typ := range weightTypes {
		for i, v := range []Variant{{Rows: 1, Out: 4, Unroll: 2, Count: 1},
			{Rows: 1, Out: 4, Unroll: 2, Count: 3}, {Rows: 1, Out: 2, Unroll: 4, Count: 2},
			{Rows: 16, Out: 4, Unroll: 1, Count: 2}, {Rows: 2, Out: 4, Unroll: 2, Count: 1},
			{Rows: 4, Out: 4, Unroll: 1, Count: 3}, {Rows: 8, Out: 4, Unroll: 1, Count: 1}} {
			if typ == "q4" && v.Rows > 4 || name == "matvec_t" && (v.Rows > 8 ||
				v.Rows > 4 && typ == "q8" || v.Rows > 2 && typ == "q4") {
				continue
			}
			v.Name, v.Type, v.Vec = name, typ, i%3 > 0 || v.Rows > 4
			if v.Threads = 64; v.Rows == 1 && i > 0 {
				v.Threads = 128
			}
			if name != "matvec_t" && v.Rows == 1 { // and without, below
				n := v
				n.Norm = name == "matvec_gate" || v.Count > 1
				n.Sum, n.Gain = !n.Norm, !n.Norm
				if name == "matvec_gate" {
					n.Out = 2
				}
				list = append(list, n)
			}
			if name == "matvec_gate" {
				v.Out = 2
			}
			list = append(list, v)
		}
	}
	return list
}

// methods are those that templates call, by name.
var methods = map[string]func(v Variant, args []any) any{
	"TileM":       func(v Variant, _ []any) any { return v.TileM() },
	"TileN":       func(v Variant, _ []any) any { return v.TileN() },
	"GemmThreads": func(v Variant, _ []any) any { return v.GemmThreads() },
	"Rounds":      func(v Variant, _ []any) any { return v.Rounds() },
	"Steps":       func(v Variant, _ []any) any { return v.Steps() },
	"Columns":     func(v Variant, _ []any) any { return v.Columns() },
	"Shares":      func(v Variant, _ []any) any { return v.Shares() },
	"Turns":       func(v Variant, _ []any) any { return v.Turns() },
	"Wide":        func(v Variant, _ []any) any { return v.Wide() },
	"Broad":       func(v Variant, _ []any) any { return v.Broad() },
	"Keys":        func(v Variant, _ []any) any { return v.Keys() },
	"Scaled":      func(v Variant, _ []any) any { return v.Scaled() },
	"Per":         func(v Variant, _ []any) any { return v.Per() },
	"Parts":       func(v Variant, _ []any) any { return v.Parts() },
	"Eights":      func(v Variant, _ []any) any { return v.Eights() },
	"Held":        func(v Variant, _ []any) any { return v.Held() },
	"Loads":       func(v Variant, _ []any) any { return v.Loads() },
	"Batches":     func(v Variant, _ []any) any { return v.Batches() },
	"To":          func(v Variant, args []any) any { return v.To(args[0].(string)) },
	"With": func(v Variant, args []any) any {
		var sources []string
		for _, a := range args {
			sources = append(sources, a.(string))
		}
		return v.With(sources...)
	},
}
