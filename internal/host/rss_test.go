package host

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// Memory counts from when it is first touched.
func TestCurrentRSS(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("how much more is held is known of Linux only")
	}
	debug.FreeOSMemory() // what earlier tests left would be used again
	before, err := CurrentRSS()
	if err != nil {
		t.Fatal(err)
	}
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	after, err := CurrentRSS()
	if err != nil {
		t.Fatal(err)
	}
	if after < before+48<<20 || after > before+96<<20 {
		t.Errorf("%d before and %d after 64 MiB were taken", before, after)
	}
	runtime.KeepAlive(held)
}
