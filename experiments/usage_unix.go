//go:build unix

package experiments

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// usage is the CPU time of this process in seconds and its peak resident set in bytes.
func usage() (cpu float64, rss uint64) {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0, 0
	}
	rss = uint64(u.Maxrss)
	if runtime.GOOS != "darwin" { // Linux and the BSDs count in KiB
		rss <<= 10
	}
	seconds := func(t unix.Timeval) float64 { return float64(t.Nano()) / 1e9 }
	return seconds(u.Utime) + seconds(u.Stime), rss
}
