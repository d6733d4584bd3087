package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
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

// The command line that is given after a divergence runs as it stands: the run goes on from its last good checkpoint at
// a lower rate, which its result tells. A rate that is not lower, or of a run that did not diverge, is refused.
func TestAdviceAfterDivergenceRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	_, _, stderr := synapnet(t.Context(), t, "pretrain --curriculum 32 "+
		strings.Replace(tiny, "--warmup-steps 2 --lr 1e-3", "--warmup-steps 0 --lr 1e38", 1), "--output-dir", "it's a run")
	_, line, ok := strings.Cut(stderr, "go on from there with a lower rate: "+program+" ")
	if !ok {
		t.Fatal(stderr)
	}
	words, err := exec.Command("sh", "-c", "printf '%s\\n' "+line).Output()
	if err != nil {
		t.Skip(err)
	}
	resume := []string{"pretrain", "--resume", "--output-dir", "it's a run", "--lr"}
	if code, _, stderr := real(t, append(resume, "1e38")...); code != exitFailure ||
		!strings.Contains(stderr, "diverged") {
		t.Errorf("with the rate that it has: %d %s", code, stderr)
	}
	if code, _, stderr := real(t, append(resume, "2e38")...); code != exitUsage || !strings.Contains(stderr,
		"--lr 2e+38: the run diverged with 1e+38: give less, above 0;") {
		t.Errorf("a higher rate: %d %s", code, stderr)
	}
	args := strings.Split(strings.TrimSpace(string(words)), "\n")
	code, _, stderr := real(t, args...)
	if code != exitOK || !strings.Contains(stderr, "lr 0.0003 from step 1 on, after the run diverged\n") {
		t.Fatalf("%q: %d %s", args, code, stderr)
	}
	r := pretrainResult(t, "it's a run/pretrain.json")
	if c := r.Config; c.LR != 1e38 || !slices.Equal(c.Rates, []curriculum.Rate{{Step: 1, LR: 0.0003}}) ||
		r.History.Steps[0].LR != 0.0003 {
		t.Errorf("the result says lr %g, rates %v, first step %+v", c.LR, c.Rates, r.History.Steps[0])
	}
	stopped(t, "pretrain --curriculum 32 "+tiny+" --output-dir well", "step 2/")
	refusal(t, exitUsage, "pretrain --resume --output-dir well --lr 1e-4",
		"--lr 0.0001: the run has 0.001 and did not stop because it diverged: leave it out to resume, or begin a new run")
}
