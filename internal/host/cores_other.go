//go:build !(darwin && arm64)

package host

// ApplePerformanceCores is 0: this is no Apple silicon.
func ApplePerformanceCores() int { return 0 }
