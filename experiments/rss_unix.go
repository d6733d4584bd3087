//go:build unix && !linux

package experiments

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// peakRSS is the largest resident set of this process, in bytes; 0 if it is not known.
func peakRSS() uint64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	if runtime.GOOS == "darwin" { // in bytes; the BSDs count in KiB
		return uint64(u.Maxrss)
	}
	return uint64(u.Maxrss) << 10
}
