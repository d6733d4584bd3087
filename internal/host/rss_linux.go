package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// CurrentRSS is the resident set of this process at this moment, in bytes.
func CurrentRSS() (uint64, error) {
	const path = "/proc/self/statm"
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("resident memory is not known: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("resident memory is not known: %s reads %q", path, text)
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("resident memory is not known: %s reads %q", path, text)
	}
	return pages * uint64(os.Getpagesize()), nil
}

// PeakRSS is the largest resident set of this process, in bytes, 0 if it cannot be read. That of getrusage would count
// what the parent held when it started this process, because Linux carries it over exec.
func PeakRSS() uint64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}
