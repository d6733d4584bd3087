package main

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/layers"
)

// pressureModelFile is a small model that takes memory-pressure samples.
func pressureModelFile(t *testing.T) string {
	return smallModelFile(t, func(c *layers.Config) {
		c.VocabSize, c.NumClasses, c.EpisodicSlots, c.EpisodicWriteFrac = 128, 40, 4, 0.2
	})
}

const smallBAEETrain = " --seeds 42 43 --learning-rates 0.001 --noise 0 --sequences 10 --context 64 --chunk-size 16 " +
	"--steps 4 --paper-sequences 8 --paper-context 32 --paper-steps 4 --hidden 4"

// lines counts those that begin so.
func lines(text, pattern string) int {
	return len(regexp.MustCompile("(?m)^"+pattern).FindAllString(text, -1))
}

// What baee-train leaves is what baee-grid takes: the whole way with the default places of files, then again from them.
func TestBAEETrainAndGrid(t *testing.T) {
	t.Chdir(t.TempDir())
	model := pressureModelFile(t)
	train := strings.Fields("baee-train --checkpoint " + model + smallBAEETrain)
	code, stdout, stderr := real(t, train...)
	if code != exitOK || strings.Count(stderr, "  AUC ") != 14 ||
		!strings.Contains(stderr, "paper: collecting from 8 sequences of 32 tokens\n") ||
		!strings.Contains(stdout, "ours (strict)") || lines(stdout, "needle +0.001 +0 ") != 1 ||
		lines(stdout, "needle +(salience|use) +0.001 +0 ") != 2 || !strings.HasSuffix(stdout, "all are in runs/baee\n") {
		t.Fatalf("%d\n%s%s", code, stderr, stdout)
	}
	if got := present(t, "runs/baee"); got != "baee-train.json classifier-attention.safetensors classifier.safetensors "+
		"head.safetensors" {
		t.Errorf("it leaves %s", got)
	}
	if code, again, stderr := real(t, train...); code != exitOK || again != stdout ||
		strings.Count(stderr, "done before") != 14 || strings.Contains(stderr, "collecting") {
		t.Errorf("again: %d\n%s%s", code, stderr, again)
	}
	grid := strings.Fields("baee-grid --checkpoint " + model +
		" --contexts 64 --chunk-size 16 --budgets 0.25 --seeds 42 --samples 2 --headline=false")
	code, stdout, stderr = real(t, grid...)
	if code != exitOK || strings.Count(stderr, "  kept ") != 2*(9+14) {
		t.Errorf("%d\n%s%s", code, stderr, stdout)
	}
	// A line for each policy early, late, and over all cells of either; and its difference to ours of its protocol.
	for line, n := range map[string]int{
		"64 +(early|late) ": 2 * 2 * 14, "[a-z][a-z0-9_]+ +(early|late) ": 2 * 14,
		"(retention|accuracy) +64 +(early|late) +[a-z0-9_]+ +baee ":          2 * 2 * 13,
		"(retention|accuracy) +64 +(early|late) +[a-z0-9_]+ +baee_salience ": 2 * 2 * 8,
		"(retention|accuracy) +[a-z][a-z0-9_]+ +baee +(early|late) ":         2 * 2 * 13,
	} {
		if got := lines(stdout, line); got != n {
			t.Errorf("%d lines %q, want %d:\n%s", got, line, n, stdout)
		}
	}
	if !strings.HasSuffix(stdout, "results are in runs/baee/baee-grid.json\n") {
		t.Errorf("%d\n%s%s", code, stderr, stdout)
	}
	if _, again, stderr := real(t, grid...); again != stdout || strings.Count(stderr, "done before") != 2*(9+14) {
		t.Errorf("again:\n%s%s", stderr, again)
	}
	if _, err := baee.LoadClassifier("runs/baee/classifier.safetensors"); err != nil {
		t.Error(err)
	}
}

// The README's case is run unless it is switched off.
func TestBAEEGridHeadline(t *testing.T) {
	model := pressureModelFile(t)
	output := filepath.Join(t.TempDir(), "r.json")
	stdout := success(t, strings.Fields("baee-grid --checkpoint "+model+
		" --protocol paper --policies fifo --positions late --contexts 64 --chunk-size 64 --budgets 0.25 --seeds 42 "+
		"--samples 1 --output "+output)...)
	if lines(stdout, "8192 +early +fifo +0.1 ") != 2 {
		t.Errorf("got\n%s", stdout)
	}
}

func TestBAEECommandMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	model := pressureModelFile(t)
	grid, train := "baee-grid --contexts 64 --chunk-size 64 --headline=false --checkpoint "+model+" ",
		"baee-train --checkpoint "+model+smallBAEETrain+" "
	mistakes(t, map[string]string{
		train + "--tasks fa2":                    `--tasks fa2: did you mean "fa"?`,
		train + "--context 65":                   "--context 65: it must be two or more whole chunks (--chunk-size 16)",
		train + "--noise 0.7":                    "--noise 0.7: it must be at least 0 and below 0.5",
		train + "--learning-rates 0":             "--learning-rates 0: it must be above 0 and at most 1",
		train + "--batch-size 0":                 "--batch-size 0: it must be at least 1",
		train + "--examples 9000000000000000000": "--examples 9000000000000000000: it must be from 0 to 1000000000",
		"baee-train --threads 0":                 "--threads 0: must be at least 1",
		"baee-train x":                           "unexpected argument x",
		grid + "--policies fifo lr":              "--policies lr: it must be one of baee, ",
		grid + "--policies baee --protocol paper": "--policies baee: the reference has none of them, and so protocol " +
			"paper has none: add another, or give --protocol strict",
		grid + "--protocol lax":  "--protocol lax: it must be one of paper, strict",
		grid + "--budgets 1.5":   "--budgets 1.5: it must be above 0 and at most 1",
		grid + "--positions mid": "--positions mid: it must be one of early, late, anywhere",
		grid + "--seeds 1 1":     "--seeds 1 1: 1 is given twice, give each once",
		grid + "--samples 0":     "--samples 0: it must be at least 1",
		"baee-grid --budgets x":  "--budgets x: not a number",
	})
	for line, want := range map[string]string{
		"baee-train": "there is no pretrained model results/pretrain/model.safetensors",
		"baee-train --checkpoint absent.safetensors": "--checkpoint: stat absent.safetensors: no such file or directory; " +
			"name the model.safetensors of a pretraining run",
		"baee-grid": "there is no pretrained model",
		"baee-grid --checkpoint absent.safetensors": "--checkpoint: stat absent.safetensors: no " +
			"such file or directory; name the model.safetensors of a pretraining run",
		"baee-grid --contexts 64 --chunk-size 64 --checkpoint " + model: "make one with baee-train",
	} {
		code, stdout, stderr := real(t, strings.Fields(line)...)
		if code != exitFailure || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d %s%s, want %q", line, code, stdout, stderr, want)
		}
	}
}

// Ctrl-C before the first cell says that nothing is there yet, and prints the command.
func TestBAEECommandsAreInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	model := pressureModelFile(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for line, flags := range map[string]string{
		"baee-train --checkpoint " + model + smallBAEETrain: " --seeds 42 43 --learning-rates 0.001 ",
		"baee-grid --checkpoint " + model +
			" --policies fifo lru --contexts 64 --chunk-size 64 --budgets 0.25": " --policies fifo lru --budgets 0.25 " +
			"--contexts 64 ",
	} {
		code, _, stderr := piped(ctx, strings.NewReader(""), strings.Fields(line)...)
		_, command, ok := strings.Cut(stderr, "interrupted before anything was finished; begin again with: ")
		if code != exitInterrupted || !ok || !strings.Contains(command, flags) {
			t.Errorf("%s: %d %s, want%s in the command", line, code, stderr, flags)
		}
	}
}
