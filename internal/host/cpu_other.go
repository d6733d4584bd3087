//go:build !linux && !darwin

package host

// CPUModel is not known on this system.
func CPUModel() string { return "unknown" }
