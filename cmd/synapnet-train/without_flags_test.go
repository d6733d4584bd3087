package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/experiments/cajq"
	"github.com/synapnet/synapnet-train/experiments/eviction"
	"github.com/synapnet/synapnet-train/layers"
)

// newcomer is in an empty folder but for a finished pretraining of a small model, as `make demo` leaves one, and an
// older one.
func newcomer(t *testing.T) (model string) {
	t.Helper()
	t.Chdir(t.TempDir())
	trained(t, "pretrain --curriculum 32 "+strings.Replace(tiny, "--vocab 48", "--vocab 128", 1))
	old := filepath.Join("runs", "older")
	if err := os.CopyFS(old, os.DirFS(defaultRun)); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(old, "model.safetensors"), before, before); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(defaultRun, "model.safetensors")
}

// heldSettings are the settings that a result says it has.
func heldSettings[S any](t *testing.T, path string) (s S) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := struct {
		Config any `json:"config"`
	}{&s}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return s
}

// After a pretraining each command works on its model without a flag, and says that it does. Those that finish within
// seconds do; the others are stopped in the midst of their work.
func TestCommandsWithoutFlags(t *testing.T) {
	model := newcomer(t)
	for _, line := range []string{"info", "export", "inspect", "eval"} {
		code, stdout, stderr := real(t, line)
		if code != exitOK || stdout == "" || !strings.Contains(stderr, "no model named: taking "+model+", the newest") {
			t.Errorf("%s: %d %s%s", line, code, stdout, stderr)
		}
	}
	code, stdout, stderr := piped(t.Context(), strings.NewReader(ids(100)), "stream")
	if code != exitOK || !strings.Contains(stdout, "100 tokens in 2 chunks of 64") || !strings.Contains(stderr, model) {
		t.Errorf("stream: %d %s%s", code, stdout, stderr)
	}

	stderr = stopped(t, "cajq-qat", "[5/18] ")
	if !strings.Contains(stderr, "64 positions, width 16 and 16 classes: --context-lengths 64 in place of 1024 2048 "+
		"4096, experiment.calibration_context 64 in place of 512, --qat-ctx 64 in place of 1024, "+
		"experiment.options.group_size 16 in place of 64\n") ||
		!strings.HasSuffix(stderr, "continue with: synapnet-train cajq-qat --checkpoint "+model+"\n") {
		t.Errorf("cajq-qat: %s", stderr)
	}
	s := heldSettings[cajq.Settings](t, "runs/cajq/cajq-qat.json")
	if len(s.Contexts) != 1 || s.Contexts[0] != 64 || s.Experiment.Finetune.Context != 64 ||
		s.Experiment.CalibrationContext != 64 || s.Experiment.Options.GroupSize != 16 {
		t.Errorf("the result says %+v", s)
	}

	stderr = stopped(t, "baee-train", "[4/135]")
	if !strings.Contains(stderr, "--chunk-size 64 in place of 512, --context 256 in place of 2048, "+
		"--paper-context 64 in place of 1024\n") {
		t.Errorf("baee-train: %s", stderr)
	}
	if s := heldSettings[eviction.TrainConfig](t, "runs/baee/baee-train.json"); s.Chunk != 64 || s.PaperContext != 64 ||
		s.Context != 256 {
		t.Errorf("the result says %+v", s)
	}
	if err := os.RemoveAll("runs/baee"); err != nil {
		t.Fatal(err)
	}
	success(t, strings.Fields("baee-train --seeds 42 --learning-rates 0.01 --noise 0 --sequences 20 --context 512 "+
		"--steps 4 --paper-sequences 64 --paper-steps 4 --hidden 4")...)
	stderr = stopped(t, "baee-grid", "[2/")
	if !strings.Contains(stderr, "--chunk-size 64 in place of 512, --contexts 128 256 in place of 1024 2048, "+
		"needles 7 in place of the task's own number\n") {
		t.Errorf("baee-grid: %s", stderr)
	}
	if s := heldSettings[eviction.GridConfig](t, "runs/baee/baee-grid.json"); s.Chunk != 64 || len(s.Contexts) != 2 ||
		s.Contexts[1] != 256 || s.Needles != 7 {
		t.Errorf("the result says %+v", s)
	}
}

// A three-phase run begins with the configuration of the checkpoint that it is given, and the settings that fit it.
func TestThreePhaseTakesTheModelOfTheCheckpoint(t *testing.T) {
	model := newcomer(t)
	small, _, _ := strings.Cut(tinyThreePhase, "[quantisation]")
	if err := os.WriteFile("run.toml", []byte(strings.Replace(small, "context = 32\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := real(t, "cajq-3phase", "--config", "run.toml", "--checkpoint", model)
	if code != exitOK || !strings.Contains(stderr, "classes: context 64 in place of 1024, "+
		"quantisation.group_size 16 in place of 128\n") {
		t.Errorf("%d %s", code, stderr)
	}
	// What the file gives stays, and is refused where it cannot work.
	if err := os.WriteFile("run.toml", []byte("context = 65\n"+small[len("context = 32\n"):]), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := real(t, "cajq-3phase", "--config", "run.toml", "--checkpoint", model); code != exitUsage ||
		!strings.Contains(stderr, "run.toml:1: context is 65: ") {
		t.Errorf("%d %s", code, stderr)
	}
	// A [model] may name what the model has, and nothing else.
	for setting, want := range map[string]string{"depth = 1": "", "dim = 24": "--checkpoint " + model +
		": the model has dim 16, not 24 as flags or --config say: leave those settings out"} {
		text := strings.Replace(small, "context = 32", "context = 24", 1)
		text, _, _ = strings.Cut(text, "[model]")
		if err := os.WriteFile("run.toml", []byte(text+"[model]\n"+setting+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := real(t, "cajq-3phase", "--config", "run.toml", "--checkpoint", model)
		if (code == exitOK) != (want == "") || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d %s", setting, code, stderr)
		}
	}
}

// What is named as a model and is none is the user's: nobody is told to delete it. A model of own data is refused by
// what works on tasks.
func TestNoModel(t *testing.T) {
	t.Chdir(t.TempDir())
	visits(t, "own.jsonl", 0, 40)
	trained(t, "pretrain --data own.jsonl --tokenizer words --eval-share 0.3 --output-dir run"+smallRun)
	for _, command := range []string{"cajq-qat", "cajq-3phase", "baee-train", "baee-grid"} {
		code, _, stderr := real(t, command, "--checkpoint", "own.jsonl")
		if code == exitOK || !strings.Contains(stderr, "own.jsonl: ") || strings.Contains(stderr, "delete") ||
			!strings.HasSuffix(stderr, "; name a model.safetensors that pretrain made\n") {
			t.Errorf("%s: %d %s", command, code, stderr)
		}
		code, _, stderr = real(t, command, "--checkpoint", "run/model.safetensors")
		if code != exitUsage || !strings.Contains(stderr, "run/model.safetensors learnt from data of its own, and "+command) {
			t.Errorf("%s: %d %s", command, code, stderr)
		}
	}
}

// The newest run comes before the reference's model, and a folder whose result is missing is no finished run.
func TestDefaultModelIsTheNewestRuns(t *testing.T) {
	newcomer(t)
	if err := os.MkdirAll(filepath.Dir(pretrainedModel), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(smallModelFile(t, func(*layers.Config) {}), pretrainedModel); err != nil {
		t.Fatal(err)
	}
	const run = "/model.safetensors, the newest finished pretraining of runs"
	for _, want := range []string{defaultRun + run, "runs/older" + run, pretrainedModel + ", the reference model"} {
		_, _, stderr := real(t, "info")
		path, _, _ := strings.Cut(want, ",")
		if !strings.Contains(stderr, "taking "+want+"\n") {
			t.Errorf("%s, want %s", stderr, want)
		}
		if err := os.Remove(filepath.Join(filepath.Dir(path), "pretrain.json")); err != nil && path != pretrainedModel {
			t.Fatal(err)
		}
	}
}
