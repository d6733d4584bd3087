package host

import "golang.org/x/sys/unix"

// SystemMemory asks sysctl, which tells the total only.
func SystemMemory() Memory {
	total, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return Memory{} // printed as unknown
	}
	return Memory{Total: total}
}

func machineRoom() Room {
	m := SystemMemory()
	return Room{Bytes: m.Total, Known: m.Total > 0, Limit: "this machine's " + Size(m.Total)}
}

func groupRoom() Room       { return Room{} }
func addressRoom(bool) Room { return Room{} } // macOS does not hold processes to RLIMIT_AS
