//go:build !unix

package files

import (
	"errors"
	"runtime"
	"syscall"
)

// nonblock: pipes have no names in folders here.
const nonblock = 0

// noRoom says whether an error is that of a full disk. 112 is ERROR_DISK_FULL of Windows.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || runtime.GOOS == "windows" && errors.Is(err, syscall.Errno(112))
}
