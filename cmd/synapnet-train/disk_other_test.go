//go:build !linux

package main

import (
	"os"
	"testing"
)

func readOnlyDir(t *testing.T) string {
	t.Helper()
	if os.Geteuid() <= 0 {
		t.Skip("permissions bind neither root nor this system")
	}
	return withoutWriting(t)
}

func fullDir(t *testing.T) string {
	t.Helper()
	t.Skip("a full disk is tested on Linux")
	return ""
}
