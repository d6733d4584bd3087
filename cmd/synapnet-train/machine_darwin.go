package main

import "golang.org/x/sys/unix"

// cpuModel is the processor's name as the kernel tells it.
func cpuModel() string {
	model, err := unix.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		return "unknown (" + err.Error() + ")"
	}
	return model
}
