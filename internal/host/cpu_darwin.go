package host

import "golang.org/x/sys/unix"

// CPUModel is the processor's name as the kernel tells it.
func CPUModel() string {
	model, err := unix.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		return "unknown (" + err.Error() + ")"
	}
	return model
}
