//go:build (linux || windows) && (amd64 || arm64)

package webgpu

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestPipelinesAreKept: what a driver made of the kernels is on the disk when a device closes, and the
// next device opens with it.
func TestPipelinesAreKept(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, dir)
	}
	for range 2 {
		if err := openDevice(t).Close(); err != nil {
			t.Fatal(err)
		}
		var kept int64
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Name() != "pipeline.cache" {
				return err
			}
			info, err := os.Stat(path)
			if err == nil {
				kept += info.Size()
			}
			return err
		})
		if err != nil || kept == 0 {
			t.Errorf("%d bytes of pipelines are kept (%v), want some", kept, err)
		}
	}
}
