package docs_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs begin so: of Linux, of Windows, of macOS, of WebAssembly.
var programs = [][]byte{[]byte("\x7fELF"), []byte("MZ"), {0xcf, 0xfa, 0xed, 0xfe}, []byte("\x00asm")}

// What is built is in bin/ or nowhere: `go build ./cmd/synapnet-train` at the root leaves 39 MB that a commit of all
// takes in.
func TestNoProgramIsCommitted(t *testing.T) {
	root := ".."
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("not a clone: %v", err)
	}
	for name := range bytes.SplitSeq(bytes.TrimRight(out, "\x00"), []byte{0}) {
		text, err := os.ReadFile(filepath.Join(root, string(name)))
		if err != nil {
			continue // deleted, and not yet committed so
		}
		for _, magic := range programs {
			if bytes.HasPrefix(text, magic) {
				t.Errorf("%s is a program: git rm it", name)
			}
		}
	}
}
