//go:build unix && !linux

package host

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// PeakRSS is the largest resident set of this process, in bytes; 0 if it is not known.
func PeakRSS() uint64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	if runtime.GOOS == "darwin" { // in bytes; the BSDs count in KiB
		return uint64(u.Maxrss)
	}
	return uint64(u.Maxrss) << 10
}
