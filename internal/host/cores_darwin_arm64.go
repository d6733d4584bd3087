package host

import "golang.org/x/sys/unix"

// ApplePerformanceCores is their number on Apple silicon, 0 on other computers.
func ApplePerformanceCores() int {
	n, _ := unix.SysctlUint32("hw.perflevel0.logicalcpu") // 0 where the kernel does not tell
	return int(n)
}
