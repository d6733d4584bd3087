package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/shell"
	"github.com/synapnet/synapnet-train/layers"
)

// calledAs runs the rest of the test as if the program had been called by that name.
func calledAs(t *testing.T, name string) {
	t.Helper()
	shell.CalledAs(name)
	t.Cleanup(func() { shell.CalledAs(program) })
}

// Every command that a message asks for begins with what was typed, quoted for a shell.
func TestCommandsAreNamedAsTheyWereCalled(t *testing.T) {
	t.Chdir(t.TempDir())
	calledAs(t, "./my bin/synapnet-train")
	const typed = "'./my bin/synapnet-train' "
	small := smallModelFile(t, func(*layers.Config) {})
	for want, line := range map[string]string{
		"see '" + typed + "--help'":                             "nonsense",
		"see '" + typed + "eval --help'":                        "eval --nonsense",
		"--output-dir results/pretrain', or name a MODEL":       "eval",
		"'" + typed + "experiments run'":                        "experiments report",
		"'" + typed + "pretrain --curriculum 512 1024 --output": "baee-train",
		"made by '" + typed + "baee-train'":                     "stream " + small + " --policy baee",
	} {
		_, _, stderr := real(t, strings.Fields(line)...)
		if !strings.Contains(stderr, want) || strings.Contains(stderr, "'"+program) {
			t.Errorf("%s: want %s in\n%s", line, want, stderr)
		}
		if !strings.HasPrefix(stderr, program+": ") {
			t.Errorf("%s: the message itself begins otherwise: %s", line, stderr)
		}
	}
	stderr := stopped(t, "pretrain --curriculum 32 "+tiny+" --output-dir a", "step 1/")
	if !strings.HasSuffix(stderr, "continue with: "+typed+"pretrain --resume --output-dir a\n") {
		t.Errorf("interrupted:\n%s", stderr)
	}
}

// The command line that is given after a divergence runs as it stands, in another directory.
func TestAdviceAfterDivergenceRuns(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	_, _, stderr := synapnet(t.Context(), t, "pretrain --curriculum 32 "+
		strings.Replace(tiny, "--warmup-steps 2 --lr 1e-3", "--warmup-steps 0 --lr 1e38", 1), "--output-dir", "it's a run")
	_, line, ok := strings.Cut(stderr, "begin a new run with a lower rate, e.g.: "+program+" ")
	if !ok {
		t.Fatal(stderr)
	}
	words, err := exec.Command("sh", "-c", "printf '%s\\n' "+line).Output()
	if err != nil {
		t.Skip(err)
	}
	args := strings.Split(strings.TrimSpace(string(words)), "\n")
	if code, _, stderr := real(t, args...); code != exitOK {
		t.Fatalf("%q: %d %s", args, code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "it's a run-2", lab.ModelFile)); err != nil {
		t.Error(err)
	}
	// Of a resumed run the flags are not known: it says what to change.
	_, _, again := synapnet(context.Background(), t, "pretrain --resume", "--output-dir", "it's a run")
	if !strings.Contains(again, `begin a new run with the same settings, but --lr 0.0003 --output-dir 'it'\''s a run-3'`) {
		t.Error(again)
	}
}
