package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"transformer2/shared/checkpoint"
	"transformer2/shared/train"
)

// runDir is the directory of one training: its state, its log, and a lock, so that two trainings
// cannot write into it at once.
type runDir struct {
	checkpoint.Dir
	lock *flock.Flock
	log  *os.File
}

func openRunDir(path string) (*runDir, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	d := &runDir{Dir: checkpoint.Dir(path), lock: flock.New(filepath.Join(path, ".lock"))}
	free, err := d.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !free {
		return nil, fmt.Errorf("%s: another training writes here; wait for it or choose another "+
			"--out", path)
	}
	d.log, err = os.OpenFile(filepath.Join(path, train.LogFile),
		os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		d.lock.Unlock()
		return nil, err
	}
	return d, nil
}

func (d *runDir) Close() error {
	err := d.log.Close()
	d.lock.Unlock()
	return err
}
