package main

import (
	"os"
	"testing"
)

// withoutWriting is a directory whose owner may not write to it.
func withoutWriting(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil { //nolint:gosec // a directory needs the execute bit
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) //nolint:errcheck // for the removal
	return dir
}
