// Package proc reads what Linux tells in files of /proc.
package proc

import (
	"strconv"
	"strings"
)

// Bytes is the line "KEY: N kB" of a file's text, in bytes; ok is false where it is not there.
func Bytes(text, key string) (n int64, ok bool) {
	for line := range strings.Lines(text) {
		value, found := strings.CutPrefix(line, key+":")
		if !found {
			continue
		}
		number := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB"))
		kilobytes, err := strconv.ParseUint(number, 10, 53)
		return 1024 * int64(kilobytes), err == nil
	}
	return 0, false
}
