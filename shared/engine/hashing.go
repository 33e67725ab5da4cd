package engine

import (
	"runtime"
	"sync"

	"transformer2/shared/checkpoint"
	"transformer2/shared/svf"
)

// hash is the fingerprint of each linear weight of src, of which checkpoint.HashModel makes svf.Base's,
// by as many goroutines as there are processors: each holds one matrix.
func hash(src checkpoint.Source) (map[string]checkpoint.Fingerprint, error) {
	names := make(chan string)
	go func() {
		defer close(names)
		for _, name := range src.Names() {
			info, _ := src.Tensor(name)
			if _, _, ok := svf.ParseName(name); ok && len(info.Shape) == 2 {
				names <- name
			}
		}
	}()
	var (
		mu     sync.Mutex
		failed error
		all    = map[string]checkpoint.Fingerprint{}
		wg     sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var w []float32
			for name := range names {
				print, err := hashOne(src, name, &w)
				mu.Lock()
				if all[name] = print; failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all, failed
}

// hashOne reads a matrix into memory that serves the next one too.
func hashOne(src checkpoint.Source, name string, w *[]float32) (checkpoint.Fingerprint, error) {
	info, _ := src.Tensor(name)
	if n := info.Len(); cap(*w) < n {
		*w = make([]float32, n)
	}
	data := (*w)[:info.Len()]
	if err := src.ReadInto(name, data); err != nil {
		return checkpoint.Fingerprint{}, err
	}
	return checkpoint.HashWeight(info.Shape[0], info.Shape[1], data), nil
}
