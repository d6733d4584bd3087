package main

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// readOnlyDir is a directory that cannot be written to, even by root.
func readOnlyDir(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return mounted(t, unix.MS_RDONLY, "")
	}
	return withoutWriting(t)
}

// fullDir is a directory on a disk with room for less than a checkpoint.
func fullDir(t *testing.T) string {
	t.Helper()
	return mounted(t, 0, "size=8k")
}

// mounted is a file system of its own in memory.
func mounted(t *testing.T, flags uintptr, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Skipf("a file system cannot be mounted here (it takes root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}
