//go:build !darwin

package experiments

// applePerformanceCores is 0: this is no Apple computer.
func applePerformanceCores() int { return 0 }
