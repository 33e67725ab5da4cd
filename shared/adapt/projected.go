package adapt

import (
	"context"
	"fmt"
	"slices"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// ProjectedOptions say how a Projected holds what it needs; the zero value is usual.
type ProjectedOptions struct {
	Type compute.DType // of the singular bases on the device; the zero value is F32
	Rows int           // rows of a batch that are turned at once; 0: defaultRows
	// Progress, if set, hears of every matrix whose basis is put on the device.
	Progress func(Progress)
}

// defaultRows keeps the four scratch rows [rows r] of a small model within a core's cache.
const defaultRows = 256

// Projected is a base model that any expert acts on through its activations, y = W x with x or y
// turned by z in the singular basis (svf.Projector). It has z of its own for each of S sequences, so
// that one batch serves S experts or mixtures over one shared W x; changing a z is writing it.
//
// A matrix takes memory when it is adapted for the first time, and keeps it. One that no sequence
// adapts at present is the base's, at the base's cost and bit for bit.
type Projected struct {
	d       *svf.Decomposition
	model   *llama.Model
	opts    ProjectedOptions
	seqs    int
	mats    []*projectedMatrix
	scratch *svf.Scratch
}

// projectedMatrix is one adapted matrix, an llama.Adapter.
type projectedMatrix struct {
	pair
	dev   compute.Device
	rows  int
	p     *svf.Projector // nil until an expert touches the matrix
	z1    compute.Tensor // [S r] z − 1 of every sequence
	host  []float32      // [S r] the same
	acts  []bool         // [S] whether the sequence's z − 1 has a number that is not 0
	count int            // of those
}

// NewProjected makes a model that starts as base for each of seqs sequences, the Seq of a
// llama.Request or answer.Question. d tells which matrices can be adapted.
func NewProjected(base *llama.Model, d *svf.Decomposition, seqs int, o ProjectedOptions) (
	*Projected, error) {
	if seqs < 1 {
		return nil, fmt.Errorf("adapt: projected form for %d sequences, want 1 or more", seqs)
	}
	if o.Rows == 0 {
		o.Rows = defaultRows
	}
	if o.Rows < 1 {
		return nil, fmt.Errorf("adapt: projected form turns %d rows at once, want 1 or more", o.Rows)
	}
	model, pairs, err := adaptable(base, d)
	if err != nil {
		return nil, err
	}
	p := &Projected{d: d, model: model, opts: o, seqs: seqs, scratch: svf.NewScratch(base.Dev)}
	for _, pr := range pairs {
		p.mats = append(p.mats, &projectedMatrix{pair: pr, dev: base.Dev, rows: o.Rows,
			acts: make([]bool, seqs)})
	}
	return p, nil
}

// Model is the model with the experts that Set took last. It is the same model all along, so it
// must not run while Set does.
func (p *Projected) Model() *llama.Model { return p.model }

// holds reports whether the matrix has been adapted before.
func (p *Projected) holds(name string) bool {
	return slices.ContainsFunc(p.mats, func(m *projectedMatrix) bool {
		return m.p != nil && m.matrix.Name == name
	})
}

// Grow lets seqs sequences have a z of their own, those that are new the base's.
func (p *Projected) Grow(seqs int) error {
	if seqs <= p.seqs {
		return nil
	}
	grown := make([]compute.Tensor, len(p.mats))
	for i, m := range p.mats {
		if m.p == nil {
			continue
		}
		var err error
		if grown[i], err = m.newZ(seqs); err != nil {
			for j := range i {
				freeTensor(m.dev, &grown[j])
			}
			return err
		}
	}
	for i, m := range p.mats {
		m.acts = append(m.acts, make([]bool, seqs-p.seqs)...)
		if m.p == nil {
			continue
		}
		freeTensor(m.dev, &m.z1)
		m.z1, m.host = grown[i], append(m.host, make([]float32, (seqs-p.seqs)*m.matrix.R)...)
		m.dev.Write(m.z1, m.host)
	}
	p.seqs = seqs
	return nil
}

// newZ makes the z − 1 of so many sequences, all of them the base's.
func (m *projectedMatrix) newZ(seqs int) (compute.Tensor, error) {
	z1, err := m.dev.NewTensor(seqs, m.matrix.R)
	if err != nil {
		err = fmt.Errorf("adapt: z of %d sequences for %s: %w", seqs, m.matrix.Name, err)
	}
	return z1, err
}

// Set gives a sequence an expert; nil gives it the base. An error leaves all as it was.
func (p *Projected) Set(ctx context.Context, seq int, e *svf.Expert) error {
	if seq < 0 || seq >= p.seqs {
		return fmt.Errorf("adapt: sequence %d, want 0 to %d", seq, p.seqs-1)
	}
	zs, err := vectors(e, p.d)
	if err != nil {
		return err
	}
	if err := p.prepare(ctx, zs); err != nil {
		return err
	}
	for _, m := range p.mats {
		if m.set(seq, zs[m.matrix.Name]) {
			r := m.matrix.R
			m.dev.Write(m.z1.Slice(seq, seq+1), m.host[seq*r:(seq+1)*r])
		}
		m.attach()
	}
	return nil
}

// SetAll gives sequence i the expert es[i], and the base to those beyond. It writes each matrix
// once, where Set would for each sequence. An error leaves all as it was.
func (p *Projected) SetAll(ctx context.Context, es []*svf.Expert) error {
	if len(es) > p.seqs {
		return fmt.Errorf("adapt: %d experts for %d sequences", len(es), p.seqs)
	}
	all := make([]map[string][]float32, p.seqs)
	for i, e := range es {
		zs, err := vectors(e, p.d)
		if err != nil {
			return err
		}
		all[i] = zs
	}
	if err := p.prepare(ctx, all...); err != nil {
		return err
	}
	for _, m := range p.mats {
		changed := false
		for seq, zs := range all {
			changed = m.set(seq, zs[m.matrix.Name]) || changed
		}
		if changed {
			m.dev.Write(m.z1, m.host)
		}
		m.attach()
	}
	return nil
}

// set notes the sequence's z [r], nil for ones, and reports whether the device must hear of it.
func (m *projectedMatrix) set(seq int, z []float32) bool {
	if m.p == nil || z == nil && !m.acts[seq] {
		return false
	}
	row := m.host[seq*m.matrix.R:][:m.matrix.R]
	if m.acts[seq] {
		m.count--
	}
	m.acts[seq] = z != nil
	if z == nil {
		clear(row)
		return true
	}
	m.count++
	same := true
	for i, v := range z {
		same = same && row[i] == v-1
		row[i] = v - 1
	}
	return !same
}

// attach makes the linear layer plain where no sequence adapts it.
func (m *projectedMatrix) attach() {
	m.linear.Adapter = nil
	if m.count > 0 {
		m.linear.Adapter = m
	}
}

// Forward: y [T out] from x [T in], row t with the z of sequence seq[t].
func (m *projectedMatrix) Forward(y, x compute.Tensor, w compute.Weight, seq compute.Ints) {
	for lo := 0; lo < x.Rows; lo += m.rows {
		hi := min(lo+m.rows, x.Rows)
		rows := compute.Ints{} // one z for all
		if m.z1.Rows > 1 {
			rows = seq.Slice(lo, hi)
		}
		m.p.Forward(y.Slice(lo, hi), x.Slice(lo, hi), w, m.z1, rows, compute.Tensor{})
	}
}

// prepare takes the memory of the matrices that are adapted for the first time. What it has when it
// fails it keeps.
func (p *Projected) prepare(ctx context.Context, all ...map[string][]float32) error {
	var fresh []*projectedMatrix
	for _, m := range p.mats {
		if m.p == nil && slices.ContainsFunc(all, func(zs map[string][]float32) bool {
			return zs[m.matrix.Name] != nil
		}) {
			fresh = append(fresh, m)
		}
	}
	for i, m := range fresh {
		if err := ctx.Err(); err != nil {
			return err
		}
		z1, err := m.newZ(p.seqs)
		if err != nil {
			return err
		}
		projector, err := svf.NewProjector(p.scratch, *m.matrix, p.opts.Type, m.rows)
		if err != nil {
			m.dev.Free(z1.Buf)
			return err
		}
		m.p, m.z1, m.host = projector, z1, make([]float32, z1.Len())
		if p.opts.Progress != nil {
			p.opts.Progress(Progress{Name: m.matrix.Name, Done: i + 1, Total: len(fresh)})
		}
	}
	return nil
}

// Close gives back all that the adapted weights took; the model must not run any more.
func (p *Projected) Close() {
	for _, m := range p.mats {
		if m.p != nil {
			m.p.Free()
		}
		freeTensor(m.dev, &m.z1)
		m.p, m.host, m.count, m.linear.Adapter = nil, nil, 0, nil
		clear(m.acts)
	}
	p.scratch.Free()
}
