//go:build unix

package cli

import (
	"os"
	"runtime"
	"syscall"
)

// peakMemory is the most bytes that a process which has ended had in memory at once.
func peakMemory(p *os.ProcessState) (bytes float64, ok bool) {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, false
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return float64(usage.Maxrss), true // bytes there, kilobytes elsewhere
	}
	return float64(usage.Maxrss) * 1024, true
}
