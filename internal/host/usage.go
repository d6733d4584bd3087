package host

import (
	"fmt"
	"os"
	"runtime"

	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"
)

// self is this process.
var self = &process.Process{Pid: int32(os.Getpid())}

// Memory is the machine's memory in bytes; 0 where the system does not tell.
type Memory struct {
	Total     uint64 `json:"total_bytes"`
	Available uint64 `json:"available_bytes"`
}

// SystemMemory asks the system.
func SystemMemory() Memory {
	m, err := mem.VirtualMemory()
	if err != nil {
		return Memory{} // printed as unknown
	}
	return Memory{Total: m.Total, Available: m.Available}
}

// CurrentRSS is the resident set of this process at this moment, in bytes.
func CurrentRSS() (uint64, error) {
	m, err := self.MemoryInfo()
	if err != nil {
		return 0, fmt.Errorf("resident memory cannot be read on %s: %w", runtime.GOOS, err)
	}
	return m.RSS, nil
}

// ResetPeakRSS sets the process's peak resident set back to its present one, so that the peak of an experiment is its
// own and not that of one before it. Where the kernel does not allow it, the peak is that of the process.
func ResetPeakRSS() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }
