//go:build unix

package host

import (
	"golang.org/x/sys/unix"
)

// CPUSeconds is the CPU time, user and system, of all threads of this process and of those that it started and that
// have ended; 0 if it is not known.
func CPUSeconds() float64 {
	var sum float64
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) != nil {
			return 0
		}
		sum += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return sum
}
