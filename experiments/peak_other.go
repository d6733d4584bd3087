//go:build !linux

package experiments

// resetPeakRSS does nothing: the peak resident set is that of the process.
func resetPeakRSS() {}
