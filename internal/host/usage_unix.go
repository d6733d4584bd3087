//go:build unix

package host

import (
	"os"
	"runtime"

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

// PeakRSS is the largest resident set of this process, in bytes; 0 if it is not known. On Linux getrusage would count
// what the parent held when it started this process, because it is carried over exec.
func PeakRSS() uint64 {
	if kib, known := number(os.DirFS("/"), "proc/self/status", "VmHWM:"); known {
		return kib << 10
	}
	var u unix.Rusage
	switch {
	case runtime.GOOS == "linux" || unix.Getrusage(unix.RUSAGE_SELF, &u) != nil:
		return 0
	case runtime.GOOS == "darwin": // in bytes; the BSDs count in KiB
		return uint64(u.Maxrss)
	}
	return uint64(u.Maxrss) << 10
}
