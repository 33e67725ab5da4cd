//go:build linux || darwin

package hub

import "golang.org/x/sys/unix"

// free is the bytes that a folder's disk has room for.
func free(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
