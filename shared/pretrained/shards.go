package pretrained

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
)

// shards is a model's weights in several safetensors files, under one index.
type shards struct {
	files map[string]*checkpoint.File // by file name
	where map[string]string           // the file's name, by tensor
	blobs []checkpoint.Blob
}

var _ checkpoint.Ranger = (*shards)(nil)

// Bounds on an index.
const (
	maxShards  = 4096
	maxTensors = 1 << 20
)

// openShards opens the files that an index names. Every tensor of the index must be in its file.
func openShards(files fs.FS, index []byte) (*shards, error) {
	var file struct {
		Where map[string]string `json:"weight_map"`
	}
	if err := checkpoint.UnmarshalJSON(index, &file); err != nil {
		return nil, err
	}
	if len(file.Where) == 0 || len(file.Where) > maxTensors {
		return nil, fmt.Errorf("weight_map names %d tensors, want 1 to %d", len(file.Where), maxTensors)
	}
	s := &shards{files: map[string]*checkpoint.File{}, where: map[string]string{}}
	for _, tensor := range slices.Sorted(maps.Keys(file.Where)) {
		if err := s.add(files, tensor, file.Where[tensor]); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// add places a tensor in a shard, which is opened where it is the first of it.
func (s *shards) add(files fs.FS, tensor, shard string) error {
	f := s.files[shard]
	if f == nil {
		if path.Base(shard) != shard || !fs.ValidPath(shard) {
			return fmt.Errorf("tensor %.60q lies in %.60q, want the name of a file beside the index",
				tensor, shard)
		}
		if len(s.files) == maxShards {
			return fmt.Errorf("it names more than %d files", maxShards)
		}
		blob, err := engine.OpenBlob(files, shard)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("shard %s is missing; it holds %.60q", shard, tensor)
		}
		if err != nil {
			return fmt.Errorf("shard %s: %w", shard, err)
		}
		s.blobs = append(s.blobs, blob)
		if f, err = checkpoint.Open(blob, blob.Size()); err != nil {
			return fmt.Errorf("shard %s: %w", shard, err)
		}
		s.files[shard] = f
	}
	if _, ok := f.Tensor(tensor); !ok {
		return fmt.Errorf("it places tensor %.60q in %s, which has no such tensor", tensor, shard)
	}
	s.where[tensor] = shard
	return nil
}

func (s *shards) Names() []string { return slices.Sorted(maps.Keys(s.where)) }

func (s *shards) Tensor(name string) (checkpoint.Info, bool) {
	shard, ok := s.where[name]
	if !ok {
		return checkpoint.Info{}, false
	}
	return s.files[shard].Tensor(name)
}

func (s *shards) ReadInto(name string, dst []float32, opts ...checkpoint.Option) error {
	return s.with(name, func(f *checkpoint.File) error { return f.ReadInto(name, dst, opts...) })
}

func (s *shards) ReadRange(name string, at int, dst []float32, opts ...checkpoint.Option) error {
	return s.with(name, func(f *checkpoint.File) error { return f.ReadRange(name, at, dst, opts...) })
}

func (s *shards) ReadBytes(name string, at int, dst []byte) error {
	return s.with(name, func(f *checkpoint.File) error { return f.ReadBytes(name, at, dst) })
}

// with runs f on the shard that has a tensor.
func (s *shards) with(name string, f func(*checkpoint.File) error) error {
	shard, ok := s.where[name]
	if !ok {
		return fmt.Errorf("the index has no tensor %q", name)
	}
	if err := f(s.files[shard]); err != nil {
		return fmt.Errorf("%s: %w", shard, err)
	}
	return nil
}

// Metadata is that of all shards; of a key that several have, the last file's.
func (s *shards) Metadata() map[string]string {
	all := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		maps.Copy(all, s.files[name].Metadata())
	}
	return all
}

func (s *shards) Close() error {
	var err error
	for _, b := range s.blobs {
		err = errors.Join(err, b.Close())
	}
	return err
}
