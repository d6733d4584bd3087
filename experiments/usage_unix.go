//go:build unix

package experiments

import "golang.org/x/sys/unix"

// cpuSeconds is the CPU time of this process, user and system, of all threads; 0 if it is not known.
func cpuSeconds() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	seconds := func(t unix.Timeval) float64 { return float64(t.Nano()) / 1e9 }
	return seconds(u.Utime) + seconds(u.Stime)
}
