package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/lab"
)

// The list has every experiment of a profile; the plan of a run has them in the order of their needs and the time for
// the whole, and nothing is written.
func TestExperimentsListAndPlan(t *testing.T) {
	t.Chdir(t.TempDir())
	stdout, stderr := trained(t, "experiments list")
	for _, e := range experiments.Of(lab.Full) {
		if !regexp.MustCompile(`(?m)^`+e.Name+` +(missing|after) `).MatchString(stdout) ||
			!strings.Contains(stdout, e.Title) {
			t.Errorf("the list lacks %s:\n%s", e.Name, stdout)
		}
	}
	if stderr != "" {
		t.Errorf("stderr %s", stderr)
	}
	stdout, _ = trained(t, "experiments run cajq-qat --profile quick --dry-run")
	plan := regexp.MustCompile(`^experiment +time +result\npretrain +~1 min 15 s +missing\ncajq-qat +~40 s ` +
		`+after pretrain\n2 to run, about 1 min 55 s on this profile \(quick\); results go to runs/quick\n$`)
	if !plan.MatchString(stdout) {
		t.Errorf("the plan:\n%s", stdout)
	}
	if got := present(t, "."); got != "" {
		t.Errorf("left %s", got)
	}
}

// A run of everything says in a line what it leaves out where there is no PyTorch; one that names it fails.
func TestExperimentsWithoutPython(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("PATH", t.TempDir())
	stdout, _ := trained(t, "experiments run --profile quick --dry-run")
	if !strings.HasPrefix(stdout, "pytorch is left out: python3 cannot be run (") ||
		strings.Contains(stdout, "\npytorch ") {
		t.Errorf("the plan:\n%s", stdout)
	}
	want := "experiment pytorch cannot run: "
	refusal(t, exitFailure, "experiments run pytorch --profile quick", want+"python3 cannot be run")
	refusal(t, exitFailure, "experiments run --profile quick --python absent", want+"absent cannot be run",
		"name a Python that has PyTorch with --python")
}

// The profile strong has its own experiments, folder and model; its settings, printed, are its own again.
func TestExperimentsOfStrong(t *testing.T) {
	t.Chdir(t.TempDir())
	stdout, _ := trained(t, "experiments list --profile strong")
	if !strings.Contains(stdout, "\ncajq-qat ") || strings.Contains(stdout, "\nenergy ") {
		t.Errorf("the list:\n%s", stdout)
	}
	stdout, _ = trained(t, "experiments run ruler pretrain --profile strong --dry-run")
	if !strings.HasSuffix(stdout, " on this profile (strong); results go to results/strong\n") {
		t.Errorf("the plan:\n%s", stdout)
	}
	refusal(t, exitFailure, "experiments run ruler --profile strong", "there is no pretrained model "+
		filepath.Join("results", "strong", "pretrain", "model.safetensors"), " --profile strong'")
	stdout, _ = trained(t, "experiments settings pretrain --profile strong")
	if !strings.Contains(stdout, "\nfurther_seeds = [43, 44]\n") {
		t.Errorf("the settings:\n%s", stdout)
	}
	config := written(t, stdout)
	if stdout, _ = trained(t, "experiments run pretrain --profile strong --dry-run --config "+config); !strings.Contains(
		stdout, "\npretrain  ") {
		t.Errorf("its own settings are custom:\n%s", stdout)
	}
}

func TestExperimentsMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	for line, want := range map[string]string{
		"experiments": "say what to do: list, run, settings, report, convert; see " +
			"'synapnet-train experiments --help'",
		"experiments lst": "unknown action lst (did you mean list?); it is one of list, run, " +
			"settings, report, convert",
		"experiments list pretrain": "unexpected argument pretrain",
		"experiments convert cajq-qta": "unknown experiment cajq-qta (did you mean cajq-qat?); 'experiments " +
			"list' shows all",
		"experiments run cajq-qta": "unknown experiment cajq-qta (did you mean cajq-qat?); 'experiments " +
			"list' shows all",
		"experiments run pretrain xyzzy":   "unknown experiment xyzzy; 'experiments list' shows all",
		"experiments run --profile fast":   "--profile fast: it must be one of full, quick, strong; did you mean ",
		"experiments list --profile stron": `did you mean "strong"?`,
		"experiments run energy --profile strong": "experiment energy is not part of profile strong; 'experiments list " +
			"--profile strong' shows all that are",
		"experiments run --jobs 0":                  "--jobs 0: must be at least 1",
		"experiments run --jobs two":                "--jobs two: not a whole number",
		"experiments run --threads 0 --profile fst": "--threads 0: must be at least 1",
	} {
		refusal(t, exitUsage, line, want)
	}
	refusal(t, exitFailure, "experiments run cajq-qat",
		"there is no pretrained model results/pretrain/model.safetensors: make it with 'synapnet-train experiments run "+
			"pretrain --results results' (about 45m0s)")
	refusal(t, exitFailure, "experiments report", "there is no results folder results: make results with")
}

// Ctrl-C says what continues; the flags that were given are part of it.
func TestExperimentsAreInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	s := &stopAt{text: "[1/2] pretrain: ", cancel: cancel}
	if err := os.WriteFile("mine.toml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code := run(ctx, strings.Fields(program+
		" experiments run cajq-qat --profile quick --results here --set seeds=42 --set samples=3 --config mine.toml"), &out,
		s)
	want := regexp.MustCompile(`synapnet-train: interrupted: what is finished or saved is in here; ` +
		`continue with: synapnet-train experiments run cajq-qat --profile quick --results here --config mine.toml --set ` +
		`seeds=42 --set samples=3\n$`)
	if code != exitInterrupted || !want.MatchString(s.String()) {
		t.Errorf("%d %s", code, s.String())
	}
	if got := present(t, "here/pretrain"); !strings.Contains(got, "checkpoint.safetensors") {
		t.Errorf("it leaves %s", got)
	}
}

// Every action has a help text of its own, also behind `help`, and flags may stand in front of it.
func TestExperimentsHelp(t *testing.T) {
	for line, want := range map[string]string{
		"experiments --help":                    "'experiments ACTION --help' says more of each",
		"experiments list --help":               "experiments list - every experiment with the state of its result",
		"experiments run --help":                "A result of other settings is custom",
		"experiments --profile quick run -h":    "A result of other settings is custom",
		"help experiments run":                  "A result of other settings is custom",
		"help experiments":                      "'experiments ACTION --help' says more of each",
		"experiments settings --help":           "a comment says where the result goes",
		"experiments report --help":             "--custom",
		"experiments report --results x --help": "at the end the results of other settings, too",
	} {
		if stdout, _ := trained(t, line); !strings.Contains(stdout, want) {
			t.Errorf("%s:\n%s", line, stdout)
		}
	}
	if stdout, _ := trained(t, "help"); strings.Contains(stdout, "experiments run") {
		t.Errorf("the list of commands has the actions:\n%s", stdout)
	}
}

// A file that is no result is one line and stays; the others are not hindered, the status is 1.
func TestExperimentsCorruptResult(t *testing.T) {
	t.Chdir(t.TempDir())
	path := filepath.Join("runs", "quick", "pretrain", "pretrain.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := synapnet(t.Context(), t, "experiments run pretrain --profile quick")
	if code != exitFailure || !strings.Contains(stdout, path+" is not a valid result: it is not JSON") ||
		!strings.Contains(stderr, "1 of 1 experiments failed: pretrain; the first error: "+path) {
		t.Errorf("%d\n%s%s", code, stdout, stderr)
	}
	if read(t, path) != "{" {
		t.Error("the file has changed")
	}
	if _, stderr := trained(t, "experiments report --profile quick"); !strings.Contains(stderr, "pretrain: unreadable: "+
		path) {
		t.Errorf("the report says %s", stderr)
	}
	if page := read(t, "runs/quick/report.html"); !strings.Contains(page, "not a valid result") {
		t.Error("the page does not say so")
	}
}

// A full disk is found before anything is computed.
func TestExperimentsFullDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	full := fullDir(t)
	code, _, stderr := synapnet(t.Context(), t, "experiments run pretrain --profile quick --results "+full)
	if code != exitFailure || !strings.Contains(stderr, "cannot write to "+filepath.Join(full, "pretrain")+
		": no space left on device; free at least 1 MB there or make it writable: the same command continues") {
		t.Errorf("%d %s", code, stderr)
	}
}

func TestSpell(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 300 * time.Millisecond: "1 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 01 s",
		3*time.Hour + 29*time.Second: "3 h 00 min", 100 * time.Minute: "1 h 40 min",
	} {
		if got := spell(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
