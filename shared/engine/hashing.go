package engine

import (
	"transformer2/shared/checkpoint"
	"transformer2/shared/svf"
)

// hash is the fingerprint of each linear weight of src, of which checkpoint.HashModel makes svf.Base's.
func hash(src checkpoint.Source) (map[string]checkpoint.Fingerprint, error) {
	var names []string
	for _, name := range src.Names() {
		info, _ := src.Tensor(name)
		if _, _, ok := svf.ParseName(name); ok && len(info.Shape) == 2 {
			names = append(names, name)
		}
	}
	return checkpoint.HashWeights(src, names)
}
