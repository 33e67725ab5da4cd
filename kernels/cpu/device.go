// Package cpu computes on the processor: the compute.Device that every build has.
//
// Each op is written once, against a small table of inner loops (form.go), and there is one such
// table per kind of machine: plain Go loops, the portable simd package, AVX2 and AVX-512 kernels.
// The plain loops are the specification; the others only have to be faster.
//
// Matrix products follow Goto and van de Geijn, "Anatomy of High-Performance Matrix
// Multiplication" (2008): weights are kept in panels [out/32][in][32] that one row of activations
// reads as a single stream and many rows use as the packed operand of a register-tiled kernel.
//
// Results are the same bit for bit from run to run and for any number of threads.
package cpu

import (
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"transformer2/shared/compute"
)

// Options choose how a Device computes; the zero value is the fastest way.
type Options struct {
	Threads int    // goroutines that compute; 0 = one per processor
	Form    string // one of Forms; "" = the best of them
	// Int8 rounds activations to 8 bits in blocks of 32 where they meet a Q8 weight, and multiplies
	// in integers: faster by 2 or more, and off by about 0.4 % of a block's greatest number. It is
	// not what compute.Products documents, so it is off unless asked for.
	Int8 bool
}

// Device is the CPU as a compute.Device and a compute.Dense64. Ops run when they are called.
type Device struct {
	f      *form
	reason string
	int8   bool
	pool   *pool
	ops    ops
	shared [sharedCount][]float32
	// packed64 is the scratch of the f64 ops, rounded that of Int8.
	packed64 []float64
	rounded  []byte
}

var (
	_ compute.Device  = (*Device)(nil)
	_ compute.Dense64 = (*Device)(nil)
)

// New starts a device. It fails on a form that this machine or this build does not have.
func New(o Options) (*Device, error) {
	f, reason, err := chooseForm(o.Form)
	if err != nil {
		return nil, err
	}
	d := &Device{f: f, reason: reason, int8: o.Int8}
	d.pool = newPool(d, threads(o.Threads))
	return d, nil
}

// Name is the form and the threads: "cpu avx512 ×2".
func (d *Device) Name() string {
	return fmt.Sprintf("cpu %s ×%d", d.f.name, d.Threads())
}

// Form is the name of the form that the device computes by.
func (d *Device) Form() string { return d.f.name }

// Threads is how many threads compute.
func (d *Device) Threads() int { return len(d.pool.workers) }

// Reason says in a sentence why this form was taken, and what is missing if it is a slow one.
func (d *Device) Reason() string { return d.reason }

// Close ends the workers. Tensors are left to the garbage collector.
func (d *Device) Close() error {
	d.pool.close()
	d.ops, d.shared, d.packed64, d.rounded = ops{}, [sharedCount][]float32{}, nil, nil
	return nil
}

// ops holds the arguments of the op that runs now: a task must live on the heap, and one that
// lives in the device costs no allocation.
type ops struct {
	matmul matmulTask
	gemm   gemmTask
	packB  packBTask
	outer  outerTask
	packW  packWTask
	fewT   fewRowsTask
	quant  quantTask
	int8   int8Task
	weight weightTask
	attn   attnTask
	grad   attnGradTask
	op     opTask
	gemm64 gemm64Task
	pack64 pack64Task
	symv   symvTask
	users  rangeTask
}

// Scratch that all workers see, grown once and kept.
const (
	sharedB = iota // packed panels of B
	sharedC        // partial sums
	sharedCount
)

func (d *Device) scratch(slot, n int) []float32 {
	if cap(d.shared[slot]) < n {
		d.shared[slot] = aligned(n)
	}
	return d.shared[slot][:n]
}

// floats and integers are the two kinds of Buffer.
type floats struct {
	d    *Device
	data []float32
}

type integers struct {
	d    *Device
	data []int32
}

func (b *floats) Len() int   { return len(b.data) }
func (b *integers) Len() int { return len(b.data) }

// cacheLine is the alignment of all storage: a vector load never straddles two lines.
const cacheLine = 64

// aligned is n zeroed numbers that start on a cache line, with nr more behind them that a tile
// may read (never use) at the right edge of a matrix.
func aligned(n int) []float32 {
	const extra = cacheLine / 4
	s := make([]float32, n+extra+nr)
	skip := -(int(uintptr(unsafe.Pointer(unsafe.SliceData(s)))) / 4) & (extra - 1)
	return s[skip : skip+n : skip+n]
}

// room refuses sizes that no allocation could satisfy, before one is tried.
func room(what string, rows, cols int) error {
	most := min(math.MaxInt/8, 1<<40) // numbers: an int of bytes, or 4 TiB
	if runtime.GOARCH == "wasm" {
		most = 1 << 29 // half of its address space
	}
	if rows < 0 || cols < 0 || (cols > 0 && rows > most/cols) {
		return fmt.Errorf("cpu: %s [%d %d]: want a size that fits in memory", what, rows, cols)
	}
	return nil
}

func (d *Device) NewTensor(rows, cols int) (compute.Tensor, error) {
	if err := room("tensor", rows, cols); err != nil {
		return compute.Tensor{}, err
	}
	b := &floats{d: d, data: aligned(rows * cols)}
	return compute.Tensor{Buf: b, Rows: rows, Cols: cols}, nil
}

func (d *Device) NewInts(n int) (compute.Ints, error) {
	if err := room("ints", n, 1); err != nil {
		return compute.Ints{}, err
	}
	return compute.Ints{Buf: &integers{d: d, data: make([]int32, n)}, N: n}, nil
}

// Free drops the storage; a later use of it panics.
func (d *Device) Free(b compute.Buffer) {
	switch b := b.(type) {
	case *floats:
		b.data = nil
	case *integers:
		b.data = nil
	case *weight:
		*b = weight{d: b.d, t: b.t, freed: true}
	}
}

// vals is the numbers of t.
func (d *Device) vals(op string, t compute.Tensor) []float32 {
	b, ok := t.Buf.(*floats)
	if !ok || b.d != d {
		panic(fmt.Sprintf("cpu: %s: the tensor %v belongs to another device", op, t))
	}
	if t.Off < 0 || t.Off+t.Len() > len(b.data) {
		panic(fmt.Sprintf("cpu: %s: the tensor %v at %d leaves its buffer of %d (freed?)",
			op, t, t.Off, len(b.data)))
	}
	return b.data[t.Off : t.Off+t.Len() : t.Off+t.Len()]
}

func (d *Device) ints(op string, x compute.Ints) []int32 {
	b, ok := x.Buf.(*integers)
	if !ok || b.d != d {
		panic(fmt.Sprintf("cpu: %s: %d ints belong to another device", op, x.N))
	}
	if x.Off < 0 || x.Off+x.N > len(b.data) {
		panic(fmt.Sprintf("cpu: %s: %d ints at %d leave their buffer of %d (freed?)",
			op, x.N, x.Off, len(b.data)))
	}
	return b.data[x.Off : x.Off+x.N : x.Off+x.N]
}

// shape panics unless t is [rows cols]; like is what decides, named in the message.
func shape(op, name string, t compute.Tensor, rows, cols int, like compute.Tensor) {
	if t.Rows != rows || t.Cols != cols {
		panic(fmt.Sprintf("cpu: %s: %s is %v, want [%d %d] to fit %v",
			op, name, t, rows, cols, like))
	}
}

// count panics unless x has n numbers.
func count(op, name string, x compute.Ints, n int, like compute.Tensor) {
	if x.N != n {
		panic(fmt.Sprintf("cpu: %s: %s has %d ints, want %d to fit %v", op, name, x.N, n, like))
	}
}

func (d *Device) Write(dst compute.Tensor, src []float32) {
	if len(src) != dst.Len() {
		panic(fmt.Sprintf("cpu: Write: %d numbers into %v", len(src), dst))
	}
	copy(d.vals("Write", dst), src)
}

func (d *Device) WriteInts(dst compute.Ints, src []int32) {
	if len(src) != dst.N {
		panic(fmt.Sprintf("cpu: WriteInts: %d numbers into %d", len(src), dst.N))
	}
	copy(d.ints("WriteInts", dst), src)
}

func (d *Device) Read(dst []float32, src compute.Tensor) error {
	if len(dst) != src.Len() {
		panic(fmt.Sprintf("cpu: Read: %v into %d numbers", src, len(dst)))
	}
	copy(dst, d.vals("Read", src))
	return nil
}

func (d *Device) ReadInts(dst []int32, src compute.Ints) error {
	if len(dst) != src.N {
		panic(fmt.Sprintf("cpu: ReadInts: %d ints into %d", src.N, len(dst)))
	}
	copy(dst, d.ints("ReadInts", src))
	return nil
}

// Submit has nothing to do: ops have run.
func (d *Device) Submit() error { return nil }

func (d *Device) Copy(dst, src compute.Tensor) {
	if dst.Len() != src.Len() {
		panic(fmt.Sprintf("cpu: Copy: %v to %v", src, dst))
	}
	copy(d.vals("Copy", dst), d.vals("Copy", src))
}

func (d *Device) Fill(dst compute.Tensor, v float32) {
	s := d.vals("Fill", dst)
	for i := range s {
		s[i] = v
	}
}
