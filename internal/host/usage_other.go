//go:build !unix

package host

// CPUSeconds is not known on this system.
func CPUSeconds() float64 { return 0 }

// PeakRSS is not known on this system.
func PeakRSS() uint64 { return 0 }
