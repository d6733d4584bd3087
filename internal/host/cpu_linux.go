package host

import "os"

// CPUModel is the processor's name as the kernel tells it.
func CPUModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown (" + err.Error() + ")"
	}
	for _, name := range []string{"model name", "Model", "uarch", "cpu model"} {
		if model := field(string(text), name); model != "" {
			return model
		}
	}
	return "unknown"
}
