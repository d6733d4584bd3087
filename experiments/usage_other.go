//go:build !unix

package experiments

// cpuSeconds is not known on this system.
func cpuSeconds() float64 { return 0 }

// peakRSS is not known on this system.
func peakRSS() uint64 { return 0 }
