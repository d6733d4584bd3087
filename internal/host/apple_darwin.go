package host

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// ApplePerformanceCores is their number on Apple silicon, 0 on other computers.
func ApplePerformanceCores() int {
	if runtime.GOARCH != "arm64" {
		return 0
	}
	n, err := unix.SysctlUint32("hw.perflevel0.logicalcpu")
	if err != nil {
		return 0
	}
	return int(n)
}
