package cpu

import (
	"runtime"
	"sync/atomic"
)

// A task is one op's work over the items 0 … n−1 (rows, panels, tiles). run does items [lo, hi)
// on one worker. Every number that an op writes is computed by exactly one item, in an order that
// the shapes alone decide, so results depend neither on the worker nor on how items are split.
type task interface {
	run(w *worker, lo, hi int)
}

// A worker is one lane of the pool with scratch memory of its own.
type worker struct {
	d     *Device
	slots [slotCount][]float32
	f64   []float64
	wake  chan struct{}
	// asleep is set while the worker waits on wake; whoever swaps it back owns the wake-up.
	asleep atomic.Bool
}

// Scratch slots of a worker: memory that lives through one item, or one op on worker 0.
const (
	slotA = iota
	slotB
	slotC
	slotD
	slotE
	slotF
	slotG
	slotH
	slotCount
)

// scratch is n numbers of undefined content, kept and grown once a slot.
func (w *worker) scratch(slot, n int) []float32 {
	if cap(w.slots[slot]) < n {
		w.slots[slot] = aligned(n)
	}
	return w.slots[slot][:n]
}

// The pool runs one job at a time: the calling goroutine and the workers claim chunks of it until
// none is left. claim holds the job's number above the count of unclaimed chunks, so that a worker
// which wakes late can never take a chunk of a job that it has not seen.
type pool struct {
	workers []*worker // workers[0] is the calling goroutine
	t       task
	n       int
	chunks  int
	claim   atomic.Uint64
	done    atomic.Int32
	waiting atomic.Bool // the caller sleeps on finished
	closed  atomic.Bool

	finished chan struct{}
}

const (
	chunkBits = 32
	// spins is about 100 µs of waiting before a goroutine sleeps: longer than the serial ops
	// between two products of a decode step and than most last chunks that others are still at,
	// shorter than a scheduler's time slice. To wake one costs tens of µs at both ends.
	spins = 100000
	// chunksPerWorker balances load when rows cost unequally or a core is busy elsewhere, and shares
	// out the 24 panels of a weight of 768 outputs evenly on 1, 2 and 4 workers.
	chunksPerWorker = 6
)

func newPool(d *Device, threads int) *pool {
	p := &pool{finished: make(chan struct{}, 1)}
	for range threads {
		p.workers = append(p.workers, &worker{d: d, wake: make(chan struct{}, 1)})
	}
	for _, w := range p.workers[1:] {
		go p.serve(w)
	}
	return p
}

// do runs t over n items in chunks of at least grain, or in one. It allocates nothing.
func (p *pool) do(n, grain int, t task) {
	if n <= 0 {
		return
	}
	if len(p.workers) == 1 || n <= grain {
		t.run(p.workers[0], 0, n)
		return
	}
	p.t, p.n = t, n
	p.chunks = min(n/max(grain, 1), chunksPerWorker*len(p.workers))
	p.done.Store(0)
	job := p.claim.Load()>>chunkBits + 1
	p.claim.Store(job<<chunkBits | uint64(p.chunks))
	for _, w := range p.workers[1:] {
		if w.asleep.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
	p.work(p.workers[0], job)
	p.wait()
	p.t = nil
}

// work claims and runs chunks of the job until none is left.
func (p *pool) work(w *worker, job uint64) {
	for {
		v := p.claim.Load()
		left := int(v & (1<<chunkBits - 1))
		if v>>chunkBits != job || left == 0 {
			return
		}
		if !p.claim.CompareAndSwap(v, v-1) {
			continue
		}
		chunks := p.chunks
		i := chunks - left
		p.t.run(w, p.n*i/chunks, p.n*(i+1)/chunks)
		if int(p.done.Add(1)) == chunks && p.waiting.CompareAndSwap(true, false) {
			p.finished <- struct{}{}
		}
	}
}

// wait returns when every chunk is done. A worker that was slow to look at waiting may wake it for
// the job before, so it looks again.
func (p *pool) wait() {
	all := int32(p.chunks)
	for {
		for range spins {
			if p.done.Load() == all {
				return
			}
		}
		p.waiting.Store(true)
		if p.done.Load() == all && p.waiting.CompareAndSwap(true, false) {
			return
		}
		<-p.finished
	}
}

// serve is the life of a worker.
func (p *pool) serve(w *worker) {
	seen := uint64(0)
	for {
		seen = p.next(w, seen)
		if p.closed.Load() {
			return
		}
		p.work(w, seen)
	}
}

// next waits for a job other than seen: it spins first, because the next product of a decode step
// comes within microseconds, then sleeps.
func (p *pool) next(w *worker, seen uint64) uint64 {
	for {
		for range spins {
			if job := p.claim.Load() >> chunkBits; job != seen {
				return job
			}
		}
		w.asleep.Store(true)
		if p.claim.Load()>>chunkBits == seen || !w.asleep.CompareAndSwap(true, false) {
			<-w.wake
		}
	}
}

// close ends the workers.
func (p *pool) close() {
	p.closed.Store(true)
	job := p.claim.Load()>>chunkBits + 1
	p.claim.Store(job << chunkBits)
	for _, w := range p.workers[1:] {
		if w.asleep.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
}

// threads is how many workers to start: all processors, or want. A js/wasm build has one thread.
func threads(want int) int {
	n := runtime.GOMAXPROCS(0)
	if want > 0 {
		n = want
	}
	if runtime.GOARCH == "wasm" {
		n = 1
	}
	return max(n, 1)
}
