package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/qat"
)

const tinyThreePhase = `context = 32
samples = 64
batch_size = 8
eval_samples = 16
calibration_batches = 2
[warmup]
epochs = 1
[qat]
epochs = 2
[cooldown]
epochs = 1
[quantisation]
group_size = 16
[model]
dim = 16
depth = 1
heads = 2
vocab_size = 48
max_len = 64
num_classes = 16
episodic_slots = 4
`

// stopAfter ends a context when a text has been written.
type stopAfter struct {
	bytes.Buffer
	text string
	stop context.CancelFunc
}

func (s *stopAfter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.text) {
		s.stop()
	}
	return s.Buffer.Write(p)
}

// The three phases run from a configuration file; interrupted and resumed as they were told to be, they leave the same
// model and classifier, which load.
func TestThreePhase(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("run.toml", []byte(tinyThreePhase), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout := success(t, "cajq-3phase", "--config", "run.toml")
	if !strings.Contains(stdout, "cooldown, epoch 4  loss ") || !strings.Contains(stdout, "retention loss ") ||
		!strings.Contains(stdout, "model.safetensors and classifier.safetensors are in runs/cajq-3phase") {
		t.Errorf("got %s", stdout)
	}
	if f, err := safetensors.Read("runs/cajq-3phase/model.safetensors"); err != nil {
		t.Error(err)
	} else if _, err := qat.FromFile(f); err != nil {
		t.Error(err)
	}
	if c, err := baee.LoadClassifier("runs/cajq-3phase/classifier.safetensors"); err != nil || c.Dim != 16 {
		t.Errorf("%+v %v", c, err)
	}
	success(t, "export", "runs/cajq-3phase/model.safetensors", "--output", "packed.safetensors")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := &stopAfter{text: "qat, epoch 2 ", stop: cancel}
	code := runApp(ctx, newApp(&bytes.Buffer{}, errs),
		[]string{program, "cajq-3phase", "--config", "run.toml", "--output-dir", "cut", "--checkpoint-every", "0"})
	if code != exitInterrupted || !strings.Contains(errs.String(), "continue with: "+program+
		" cajq-3phase --resume --output-dir cut") {
		t.Fatalf("%d %s", code, errs.String())
	}
	success(t, "cajq-3phase", "--resume", "--output-dir", "cut")
	for _, name := range []string{"model.safetensors", "classifier.safetensors"} {
		if read(t, filepath.Join("cut", name)) != read(t, filepath.Join("runs/cajq-3phase", name)) {
			t.Errorf("the interrupted and resumed run leaves another %s", name)
		}
	}
}

func TestThreePhaseMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"bad.toml":     "context = 4\n",
		"unknown.toml": "lambda_bae = 1.0\n",
		"minus.toml":   "lambda_baee = -0.5\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mistakes(t, map[string]string{
		"cajq-3phase --config bad.toml":                         "context is 4: it must be from 8",
		"cajq-3phase --config unknown.toml":                     "did you mean lambda_baee?",
		"cajq-3phase --config minus.toml":                       "lambda_baee is -0.5: it must be at least 0 and finite",
		"cajq-3phase --resume":                                  "--resume: name the run's directory with --output-dir",
		"cajq-3phase --resume --output-dir x --config bad.toml": "--config bad.toml: a resumed run has the settings",
		"cajq-3phase --resume --output-dir x --checkpoint m":    "--checkpoint m: a resumed run continues from its own",
		"cajq-3phase --checkpoint-every -1":                     "--checkpoint-every -1: must be 0 or more",
		"cajq-3phase stray":                                     "unexpected argument stray",
	})
	for line, want := range map[string]string{
		"cajq-3phase --resume --output-dir x":          "there is no checkpoint x/checkpoint.safetensors to resume",
		"cajq-3phase --checkpoint missing.safetensors": "missing.safetensors",
	} {
		if code, _, stderr := real(t, strings.Fields(line)...); code != exitFailure || !strings.Contains(stderr, want) ||
			strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: %d %s", line, code, stderr)
		}
	}
}
