package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// scripts/pt2safetensors.py refuses, before it needs PyTorch, what the commands refuse: an output that is its input, no
// file, or of another kind; and an input that would be waited for.
func TestConverterDestroysNothing(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(in("in.pt"), []byte("precious"), 0o644),
		os.WriteFile(in("other.toml"), []byte("precious = 1\n"), 0o644),
		os.Symlink("in.pt", in("link")), os.Symlink("nowhere", in("lost")), os.Link(in("in.pt"), in("hard")),
		makePipe(in("pipe"))); err != nil {
		t.Skip(err)
	}
	before := contents(t, dir)
	var pairs, wants []string
	for _, c := range [][3]string{
		{"in.pt", "in.pt", "is the same file as checkpoint"}, {"in.pt", "link", "is the same file as checkpoint"},
		{"in.pt", "hard", "is the same file as checkpoint"},
		{"link", "in.pt", "is the same file as checkpoint"}, {"in.pt", "other.toml", "it exists and is no safetensors file"},
		{"in.pt", "pipe", "it is a pipe"},
		{"in.pt", "lost", "it is a link that leads nowhere"}, {"in.pt", ".", "it is a folder"},
		{"in.pt", "none/x", "there is no directory"}, {"pipe", "new", "it is a pipe"},
	} {
		pairs, wants = append(pairs, in(c[0]), in(c[1])), append(wants, c[2])
	}
	// One process: Python takes a second to begin.
	const all = `
import sys
sys.path.insert(0, "../../scripts")
import pt2safetensors
for i in range(1, len(sys.argv), 2):
    print(pt2safetensors.main(sys.argv[i:i+2]), file=sys.stderr)
`
	out, err := exec.CommandContext(t.Context(), python, append([]string{"-c", all}, pairs...)...).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != 2*len(wants) {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, want := range wants {
		if message, status := lines[2*i], lines[2*i+1]; status != fmt.Sprint(exitUsage) || !strings.Contains(message, want) {
			t.Errorf("%v: %s %s, want %s", pairs[2*i:2*i+2], status, message, want)
		}
	}
	if after := contents(t, dir); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}
