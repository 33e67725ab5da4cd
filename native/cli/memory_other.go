//go:build !unix

package cli

import "os"

// peakMemory: this system does not say.
func peakMemory(*os.ProcessState) (bytes float64, ok bool) { return 0, false }
