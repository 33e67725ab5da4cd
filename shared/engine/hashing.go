package engine

import (
	"context"
	"sync"

	"transformer2/shared/checkpoint"
	"transformer2/shared/svf"
)

// hashing is a source whose linear weights are hashed as they are read, beside what the reader does
// with them: a model's fingerprint then costs no second pass over its files. A number that was read
// must stay until the next is.
type hashing struct {
	checkpoint.Source
	ctx     context.Context // nothing is read after its end
	weights map[string]checkpoint.Fingerprint
	busy    sync.WaitGroup
}

func (h *hashing) ReadInto(name string, dst []float32, opts ...checkpoint.Option) error {
	h.busy.Wait() // dst may be what is being hashed
	if err := h.ctx.Err(); err != nil {
		return err
	}
	if err := h.Source.ReadInto(name, dst, opts...); err != nil {
		return err
	}
	info, _ := h.Tensor(name)
	_, _, ok := svf.ParseName(name)
	if ok && len(info.Shape) == 2 && len(dst) == info.Len() { // a part has no hash
		h.busy.Go(func() {
			h.weights[name] = checkpoint.HashWeight(info.Shape[0], info.Shape[1], dst)
		})
	}
	return nil
}

// model is the fingerprint of all linear weights of the source, as svf.Base has it; one that was not
// read, which is of a layer that the model does not have, is read now.
func (h *hashing) model() (checkpoint.Fingerprint, error) {
	h.busy.Wait()
	for _, name := range h.Names() {
		info, _ := h.Tensor(name)
		if _, _, ok := svf.ParseName(name); !ok || !h.weights[name].IsZero() {
			continue
		}
		if err := h.ReadInto(name, make([]float32, info.Len())); err != nil {
			return checkpoint.Fingerprint{}, err
		}
		h.busy.Wait()
	}
	return checkpoint.HashModel(h.weights), nil
}
