package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// suggested are the command lines that a command said come next, as a shell reads them.
func suggested(t *testing.T, stderr string) (lines [][]string) {
	t.Helper()
	for line := range strings.Lines(stderr) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "next: ")
		if !ok {
			continue
		}
		words, err := exec.Command("sh", "-c", "printf '%s\\n' "+command).Output()
		if err != nil {
			t.Skip(err) // no shell
		}
		lines = append(lines, strings.Split(strings.TrimSpace(string(words)), "\n"))
	}
	return lines
}

// From a pretraining on, each command names the next, by the name that the program was called by, and each of those
// runs as it stands.
func TestNextCommandsRun(t *testing.T) {
	t.Chdir(t.TempDir())
	calledAs(t, "./my bin/synapnet-train")
	_, stderr := trained(t, "pretrain --curriculum 32 --output-dir it's "+tiny)
	left, seen := suggested(t, stderr), []string{}
	for ; len(left) > 0; left = left[1:] {
		line := left[0]
		if line[0] != "./my bin/synapnet-train" {
			t.Errorf("the program is called %s", line[0])
		}
		if key := strings.Join(line[1:], " "); slices.Contains(seen, key) {
			continue
		} else {
			seen = append(seen, key)
		}
		code, _, stderr := real(t, line[1:]...)
		more := suggested(t, stderr)
		if code != exitOK || len(more) == 0 {
			t.Errorf("%q: %d %s", line, code, stderr)
		}
		left = append(left, more...)
	}
	for _, command := range []string{"eval", "export", "inspect", "stream"} {
		if !slices.ContainsFunc(seen, func(line string) bool { return strings.HasPrefix(line, command+" it's/") }) {
			t.Errorf("%s is not suggested: %q", command, seen)
		}
	}
}

// What the other commands suggest names what they were given or left.
func TestNextCommandsOfExperiments(t *testing.T) {
	t.Chdir(t.TempDir())
	model := pressureModelFile(t)
	_, _, stderr := real(t, strings.Fields("baee-train --checkpoint "+model+" --output-dir x"+smallBAEETrain)...)
	if got := suggested(t, stderr); len(got) != 1 || strings.Join(got[0], " ") != "synapnet-train baee-grid --checkpoint "+
		model+" --classifier x/classifier.safetensors --head x/head.safetensors" {
		t.Errorf("%q", got)
	}
	_, _, stderr = real(t, strings.Fields("baee-grid --checkpoint "+model+" --policies fifo --contexts 64 "+
		"--chunk-size 16 --budgets 0.25 --seeds 42 --samples 2 --headline=false")...)
	if got := suggested(t, stderr); len(got) != 1 || strings.Join(got[0], " ") != "synapnet-train stream "+model+
		" --random-tokens 10000" {
		t.Errorf("%q", got)
	}
	line := cajqLine(t, "r.json", "--seeds 42 --variants fp16 cajq_qat --save kept")
	if _, _, stderr = real(t, line...); !strings.HasSuffix(stderr, "next: synapnet-train eval "+
		filepath.Join("kept", "cajq_qat-42.packed.safetensors")+"\n") {
		t.Errorf("%s", stderr)
	}
	_, _, stderr = real(t, "info", "--depth", "2")
	if !strings.HasSuffix(stderr, "next: synapnet-train pretrain --depth 2\n") {
		t.Errorf("%s", stderr)
	}
}
