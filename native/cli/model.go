package cli

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/svf"
	"transformer2/shared/zoo"
)

// zooPrefix marks a model that ships with the program.
const zooPrefix = "zoo:"

// modelFlag adds --model.
func modelFlag(cmd *cobra.Command, ref *string) {
	cmd.Flags().StringVar(ref, "model", zooPrefix+zoo.Default,
		"zoo:NAME for a model that ships with t2, or a directory")
}

// session is a device with a model on it.
type session struct {
	dev   *cpu.Device
	model *engine.Model
}

// open loads the model that ref names onto the device.
func (a *app) open(ref string) (*session, error) {
	files, err := modelFiles(ref)
	if err != nil {
		return nil, err
	}
	dev, err := a.device()
	if err != nil {
		return nil, err
	}
	m, err := engine.Open(dev, ref, files, compute.F32)
	if err != nil {
		dev.Close()
		return nil, err
	}
	return &session{dev: dev, model: m}, nil
}

func (s *session) Close() error { return s.dev.Close() }

func modelFiles(ref string) (fs.FS, error) {
	if name, ok := strings.CutPrefix(ref, zooPrefix); ok {
		return zoo.Open(name)
	}
	info, err := os.Stat(ref)
	if err != nil {
		return nil, fmt.Errorf("model %q: want zoo:NAME (%s) or a directory: %w", ref,
			strings.Join(zoo.Names(), ", "), err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("model %q is a file, want a directory or zoo:NAME", ref)
	}
	return os.DirFS(ref), nil
}

// cacheStore is where decompositions are kept between runs: the user's cache directory, or memory
// where there is none.
func cacheStore() checkpoint.Store {
	dir, err := os.UserCacheDir()
	if err != nil {
		return &checkpoint.Memory{}
	}
	return checkpoint.Dir(filepath.Join(dir, "transformer2", "svd"))
}

// decompose gives the bases of the session's model.
func (s *session) decompose(ctx context.Context, scope svf.Scope) (*svf.Decomposition, error) {
	return s.model.Decompose(ctx, s.dev, cacheStore(), scope, nil)
}
