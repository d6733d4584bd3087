//go:build !linux

package host

// ResetPeakRSS does nothing: the peak resident set is that of the process.
func ResetPeakRSS() {}
