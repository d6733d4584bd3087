//go:build !darwin

package host

// ApplePerformanceCores is 0: this is no Apple computer.
func ApplePerformanceCores() int { return 0 }
