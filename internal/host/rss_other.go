//go:build !linux

package host

import (
	"fmt"
	"runtime"
)

// CurrentRSS is known on Linux only.
func CurrentRSS() (uint64, error) {
	return 0, fmt.Errorf("resident memory cannot be read on %s: run this case on Linux", runtime.GOOS)
}
