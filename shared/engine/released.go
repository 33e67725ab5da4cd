package engine

import (
	"context"
	"fmt"

	"transformer2/shared/checkpoint"
	"transformer2/shared/svf"
)

// ImportExpert reads an expert that the paper's released code trained on this model. Its logits
// stay logits, or become the z that they stand for where p is Linear, which needs the bases.
func (s *Session) ImportExpert(ctx context.Context, src checkpoint.Source, p svf.Parametrisation) (
	*svf.Expert, error) {
	d, err := s.Model.Shapes()
	if err == nil && svf.IsReleasedMixture(src) {
		d, err = s.Bases(ctx, svf.AllScope())
	}
	if err != nil {
		return nil, err
	}
	e, err := svf.ReadReleased(src, d)
	if err != nil {
		return nil, fmt.Errorf("expert for %s: %w", s.Model.Name, err)
	}
	e.Meta.Model = s.Model.Name
	if p == svf.Linear {
		return s.Effective(ctx, e)
	}
	return e, nil
}

// ImportDecomposition keeps the bases that the released code computed of this model in the store,
// for the verbs that need them; report hears of each. One that is not this model's ends it. Other
// matrices of the file (it decomposes embeddings too) are left.
func (s *Session) ImportDecomposition(ctx context.Context, src checkpoint.Source,
	report func(m Spectrum, total int)) error {
	var matrices []svf.Matrix
	for _, m := range s.Model.Matrices() {
		if _, ok := src.Tensor(m.Name + ".S"); ok {
			matrices = append(matrices, m)
		}
	}
	if len(matrices) == 0 {
		return fmt.Errorf("the decomposition has no matrix of model %s", s.Model.Name)
	}
	cache := svf.Cache{Store: s.Store}
	return s.Model.format.Weights(func(weights checkpoint.Source) error {
		for _, shape := range matrices {
			if err := ctx.Err(); err != nil {
				return err
			}
			w := make([]float32, shape.Out*shape.In)
			if err := weights.ReadInto(shape.Name, w, checkpoint.Finite); err != nil {
				return err
			}
			m, quality, err := svf.ReadReleasedMatrix(s.Dev, src, shape.Name, shape.Out,
				shape.In, w)
			if err == nil {
				err = cache.Save(&m)
			}
			if err != nil {
				return err
			}
			report(Spectrum{Name: m.Name, Out: m.Out, In: m.In, R: m.R, Left: m.Left, Sigma: m.Sigma,
				Arithmetic: m.Arithmetic, EffectiveRank: EffectiveRank(m.Sigma),
				Quality: quality}, len(matrices))
		}
		return nil
	})
}
