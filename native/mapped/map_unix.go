//go:build unix

package mapped

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// mapFile is the bytes of a file, nil where it cannot be mapped. A file that another program cuts
// short while it is mapped ends the process: what it held is gone.
func mapFile(file *os.File, size int64) []byte {
	if size > math.MaxInt {
		return nil
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	return data
}

// giveBack takes a map's pages from this process; they stay in the system's cache of the file, and
// come back when they are read.
func giveBack(data []byte) {
	_ = unix.Madvise(data, unix.MADV_DONTNEED) // advice: where it is not taken, pages stay
}

func unmap(data []byte) {
	if data != nil {
		_ = unix.Munmap(data) // fails only for what was never mapped
	}
}
