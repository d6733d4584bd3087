package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
)

func TestEval(t *testing.T) {
	path := smallModelFile(t, func(*layers.Config) {})
	stdout := success(t, "eval", path, "--contexts", "32", "64", "--samples", "5")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 2+4*2 || !strings.HasPrefix(lines[1], "task ") || !strings.HasPrefix(lines[2], "niah_single ") {
		t.Errorf("got\n%s\nwant the four tasks of the mixture at two contexts", stdout)
	}
	for _, line := range lines[2:] {
		if fields := strings.Fields(line); len(fields) != 7 || fields[6] != "5" {
			t.Errorf("%q: want task, context, accuracy, interval, chance, n", line)
		}
	}
}

// Without --contexts a model is evaluated on what it has positions for, and that is told.
func TestEvalOfAShortModel(t *testing.T) {
	for positions, want := range map[int]string{64: "[64]", 600: "[512]"} {
		path := smallModelFile(t, func(c *layers.Config) { c.MaxLen = positions })
		code, stdout, stderr := real(t, "eval", path, "--samples", "2", "--tasks", "fa", "--json")
		told := fmt.Sprintf("contexts %s in place of [512 1024]: the model has %d positions\n", want, positions)
		var r evaluationResult
		if err := json.Unmarshal([]byte(stdout), &r); code != exitOK || err != nil || fmt.Sprint(r.Plan.Contexts) != want ||
			!strings.HasPrefix(stderr, told+"next: ") {
			t.Errorf("%d %s %q, want %q", code, stdout, stderr, told)
		}
	}
}

// The results do not depend on the batch size, and depend on the seed.
func TestEvalJSON(t *testing.T) {
	path := smallModelFile(t, func(*layers.Config) {})
	line := []string{"eval", path, "--suite", "needlebench", "--tasks", "fa", "fa", "--contexts", "64", "--samples", "40",
		"--json"}
	first := decode[evaluationResult](t, line...)
	again := decode[evaluationResult](t, append(line, "--batch-size", "7")...)
	other := decode[evaluationResult](t, append(line, "--seed", "1")...)
	if len(first.Results) != 6 || first.Results[0].Task != "fa" || first.Parameters == 0 || first.Plan.Seed != 42 ||
		first.Environment.BLAS == "" {
		t.Errorf("%+v", first)
	}
	differ := false
	for i, r := range first.Results {
		if r.Accuracy != again.Results[i].Accuracy {
			t.Errorf("%s: batch sizes give %v and %v", r.Task, r.Accuracy, again.Results[i].Accuracy)
		}
		if r.N != 40 || r.Accuracy != curriculum.NewAccuracy(r.Correct, 40) || r.Chance <= 0 {
			t.Errorf("%+v", r)
		}
		differ = differ || r.Correct != other.Results[i].Correct
	}
	if !differ {
		t.Error("two seeds give the same counts on six tasks")
	}
}

func TestEvalMistakes(t *testing.T) {
	t.Chdir(t.TempDir()) // without results/pretrain
	path := smallModelFile(t, func(*layers.Config) {})
	text := smallModelFile(t, func(c *layers.Config) { c.NumClasses = 0 })
	mistakes(t, map[string]string{
		"eval":                                  "--output-dir results/pretrain', or name a MODEL.safetensors",
		"eval --tasks niah_singel":              `did you mean "niah_single"?`,
		"eval --suite neddlebench":              "did you mean needlebench?",
		"eval --suite xyzzy":                    "there are mixture, curriculum,",
		"eval --samples 0":                      "--samples 0: must be at least 1",
		"eval --batch-size -1":                  "--batch-size -1: must be at least 1",
		"eval --threads 0":                      "--threads 0: must be at least 1",
		"eval a b":                              "unexpected argument b",
		"eval " + path + " --contexts 65":       "--contexts 65: must be from 8 to the model's 64 positions (max_len)",
		"eval " + path + " --contexts 8":        "length 8 is too small",
		"eval " + text + " --contexts 32":       "tasks need a model with a classification head",
		"eval " + path + " --contexts 32 --lst": "did you mean --list?",
	})
	if code, _, stderr := real(t, "eval", "missing.safetensors"); code != exitFailure ||
		!strings.Contains(stderr, "missing.safetensors: no such file") {
		t.Errorf("%d %s", code, stderr)
	}
}

func TestEvalIsInterrupted(t *testing.T) {
	path := smallModelFile(t, func(*layers.Config) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	code := run(ctx, []string{program, "eval", path, "--contexts", "32"}, &out, &errs)
	if code != exitInterrupted || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("%d %s", code, errs.String())
	}
}

func TestEvalList(t *testing.T) {
	stdout := success(t, "eval", "--list")
	for _, name := range tasks.Names() {
		if strings.Count(stdout, "\n  "+name+"\n") != 1 {
			t.Errorf("%s is not listed once", name)
		}
	}
	listed := decode[[]taskInfo](t, "eval", "--list", "--json")
	if len(listed) != len(tasks.Names()) {
		t.Errorf("%d tasks, want %d", len(listed), len(tasks.Names()))
	}
	for _, x := range listed {
		if x.Doc == "" || x.Source == "" {
			t.Errorf("%+v", x)
		}
	}
}
