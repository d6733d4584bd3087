package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// cajqLine is the experiment at the smallest size, on a model that takes its samples.
func cajqLine(t *testing.T, output, rest string) []string {
	t.Helper()
	model := smallModelFile(t, func(c *layers.Config) { c.VocabSize, c.NumClasses = 128, 16 })
	config := filepath.Join(t.TempDir(), "cajq.toml")
	text := "samples = 3\ncontexts = [32]\n[experiment]\ncalibration_batches = 1\ncalibration_context = 32\n" +
		"[experiment.options]\ngroup_size = 4\n[experiment.finetune]\nsteps = 2\ncontext = 32\nbatch = 2\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.Fields("cajq-qat --config " + config + " --checkpoint " + model + " --output " + output + " " + rest)
}

// Every published variant and the control, for each seed; a second call has nothing to do, one with another seed does
// only that, and the table has the paper's numbers nowhere where they do not belong.
func TestCAJQ(t *testing.T) {
	output := filepath.Join(t.TempDir(), "new", "cajq.json")
	line := cajqLine(t, output, "--seeds 42 43")
	code, stdout, stderr := real(t, line...)
	if code != exitOK || strings.Count(stderr, "  ctx 32  niah_single") != 2*6 ||
		strings.Count(stderr, "  ctx 32, from the packed bytes  niah_single") != 2*2 {
		t.Fatalf("%d\n%s%s", code, stderr, stdout)
	}
	for _, want := range []string{
		"mean ± std over seeds", "\nAccuracy, niah_multi_key\n", "\ncajq_qat ", "\nfp16_finetuned ", "context", "published",
		"\nniah_single     cajq_qat        fp16_finetuned  32 ", "results are in " + output,
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if _, again, stderr := real(t, line...); again != stdout || strings.Count(stderr, "done before") != 2*6 {
		t.Errorf("again:\n%s%s", stderr, again)
	}
	more := slices.Concat(line, []string{"44"})
	if code, _, stderr := real(t, more...); code != exitOK || strings.Count(stderr, "done before") != 2*6 ||
		strings.Count(stderr, "  ctx 32") != 6+2 {
		t.Errorf("one more seed: %d\n%s", code, stderr)
	}
	text, err := os.ReadFile(output)
	if err != nil || !json.Valid(text) {
		t.Errorf("%v: not JSON: %s", err, text)
	}
	// Other settings are another experiment: nothing is mixed, nothing overwritten.
	code, _, stderr = real(t, append(slices.Clip(line), "--qat-steps", "3")...)
	if code != exitFailure || !strings.Contains(stderr, output) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("other settings: %d %s", code, stderr)
	}
	if kept, err := os.ReadFile(output); err != nil || string(kept) != string(text) {
		t.Errorf("the result was overwritten (%v)", err)
	}
}

// Each component alone, and all of them, in one table.
func TestCAJQAblation(t *testing.T) {
	output := filepath.Join(t.TempDir(), "ablation.json")
	stdout := success(t, cajqLine(t, output,
		"--seeds 42 --variants cajq_ssm_only cajq_attention_only cajq_memory_only cajq_full")...)
	// Two lines more are of sizes: of the packed weights and of the whole model.
	for want, n := range map[string]int{"\ncajq_ssm_only ": 9, "\ncajq_attention_only ": 9, "\ncajq_memory_only ": 3,
		"\ncajq_full ": 9} {
		if strings.Count(stdout, want) != n {
			t.Errorf("%q is not once in each of the three tables, and in that of sizes, of\n%s", want, stdout)
		}
	}
}

// The published variants have both: before packing under paper, from the packed bytes under strict. A result of version
// 1 lacks the latter: only what lacks them is made again.
func TestCAJQPackedBytes(t *testing.T) {
	output := filepath.Join(t.TempDir(), "cajq.json")
	line := cajqLine(t, output, "--seeds 42 --variants fp16 cajq_ptq")
	success(t, line...)
	r, err := result.Read(output)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]int{}
	for _, m := range r.Measurements {
		if m.Metric == "niah_single" {
			of[m.Labels["variant"]+" "+m.Protocol]++
		}
		if m.Metric == "difference" {
			of["difference"]++
		}
	}
	if want := map[string]int{"fp16 paper": 1, "cajq_ptq paper": 1, "cajq_ptq strict": 1, "difference": 3}; !maps.Equal(of,
		want) {
		t.Errorf("%v, want %v", of, want)
	}
	var details struct {
		Cells map[string]map[string]any `json:"cells"`
	}
	if err := json.Unmarshal(r.Details, &details); err != nil {
		t.Fatal(err)
	}
	delete(details.Cells["cajq_ptq/42"], "packed")
	if r.Details, err = json.Marshal(details); err != nil {
		t.Fatal(err)
	}
	if err := result.Write(output, r); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := real(t, line...); code != exitOK || strings.Count(stderr, "done before") != 1 ||
		strings.Count(stderr, "  ctx 32") != 2 {
		t.Errorf("%d: %s", code, stderr)
	}
}

func TestCAJQMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	line := strings.Join(cajqLine(t, "r.json", ""), " ") + " "
	refused := "cajq-qat --checkpoint " + smallModelFile(t, func(*layers.Config) {}) + " "
	mistakes(t, map[string]string{
		line + "--seeds 42 43 42":                 "--seeds 42 43 42: 42 is given twice, give each once",
		line + "--context-lengths 64 64":          "--context-lengths 64 64: 64 is given twice, give each once",
		line + "--context-lengths 9000000":        "--context-lengths 9000000: it must be from 8 to the model's max_len 64",
		line + "--variants cajq_qta":              "--variants cajq_qta: it must be one of fp16, ",
		line + "--variants fp16 fp16":             "--variants fp16 fp16: fp16 is given twice, give each once",
		line + "--qat-ctx 0":                      "--qat-ctx 0: it must be from 8 to the model's max_len 64",
		line + "--samples 0":                      "--samples 0: it must be at least 1",
		refused + "--qat-ctx 512":                 "--qat-ctx 512: it must be from 8 to the model's max_len 64",
		"cajq-qat --seeds x":                      "--seeds x: not a whole number, 0 or more; give e.g. --seeds 42 43 44",
		"cajq-qat --config absent.toml":           "absent.toml",
		"cajq-qat --threads 0":                    "--threads 0: must be at least 1",
		"cajq-qat --seeds 42 --context-lengths x": "--context-lengths x",
	})
	if code, _, stderr := real(t, append(strings.Fields(line), "--save", "")...); code != exitUsage ||
		!strings.Contains(stderr, `--save "": it is empty`) {
		t.Errorf("%d %s", code, stderr)
	}
	corrupt := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(corrupt, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"cajq-qat": "there is no pretrained model results/pretrain/model.safetensors",
		"cajq-qat --checkpoint absent.safetensors":                     "--checkpoint: stat absent.safetensors: no such file",
		strings.Join(cajqLine(t, corrupt, ""), " "):                    corrupt,
		strings.Join(cajqLine(t, "r.json", "--qat-ctx 4096"), " "):     "4096",
		strings.Join(cajqLine(t, "/proc/none/r.json", "--seeds"), " "): "--seeds",
	} {
		code, stdout, stderr := real(t, strings.Fields(line)...)
		if code == exitOK || stdout != "" || !strings.Contains(stderr, want) || strings.Contains(stderr, "goroutine") {
			t.Errorf("%s: %d %s%s, want %q", line, code, stdout, stderr, want)
		}
	}
	if text, err := os.ReadFile(corrupt); err != nil || string(text) != "{" {
		t.Errorf("the corrupt result was overwritten: %q, %v", text, err)
	}
}

// Ctrl-C before the first cell says that nothing is there yet, and prints the command.
func TestCAJQIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, stderr := piped(ctx, strings.NewReader(""), cajqLine(t, filepath.Join(t.TempDir(), "r.json"), "")...)
	if code != exitInterrupted || !strings.Contains(stderr,
		"interrupted before anything was finished; begin again with: ") {
		t.Errorf("%d %s", code, stderr)
	}
}

// Trained variants are kept as files that the other commands take: of what was done before, too, without evaluating it
// again, and to the same bytes. A file of another kind, or one that is read, is not replaced.
func TestCAJQKeepsModels(t *testing.T) {
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept")
	line := cajqLine(t, filepath.Join(dir, "cajq.json"),
		"--seeds 42 --variants cajq_ptq cajq_qat fp16_finetuned cajq_memory_only")
	success(t, line...)
	line = append(line, "--save", kept)
	if code, _, stderr := real(t, line...); code != exitOK || strings.Contains(stderr, "ctx 32") ||
		strings.Count(stderr, "done before") != 1 {
		t.Errorf("%d %s", code, stderr)
	}
	if got := present(t, kept); got != "cajq_memory_only-42.safetensors cajq_qat-42.packed.safetensors "+
		"cajq_qat-42.safetensors fp16_finetuned-42.safetensors" {
		t.Fatalf("kept are %s", got)
	}
	if _, _, stderr := real(t, line...); strings.Count(stderr, "done before") != 4 {
		t.Errorf("again: %s", stderr)
	}
	file := func(name string) string { return filepath.Join(kept, name) }
	before, err := os.ReadFile(file("cajq_qat-42.packed.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{
		{"eval", file("cajq_qat-42.packed.safetensors"), "--contexts", "32", "--samples", "2"},
		{"inspect", file("cajq_qat-42.packed.safetensors")},
		{"eval", file("fp16_finetuned-42.safetensors"), "--contexts", "32", "--samples", "2"},
		{"inspect", file("cajq_qat-42.packed.safetensors"), "--against", file("cajq_qat-42.safetensors")},
		{"export", file("cajq_qat-42.safetensors"), "--output", filepath.Join(dir, "packed.safetensors")},
	} {
		success(t, words...)
	}
	if exported, err := os.ReadFile(filepath.Join(dir, "packed.safetensors")); err != nil ||
		!bytes.Equal(exported, before) {
		t.Errorf("the packed file is not what export makes of the other (%v)", err)
	}
	// Lost and spoilt ones are made again; what is something else is not replaced.
	if err := os.Rename(file("cajq_qat-42.safetensors"), file("cajq_qat-42.packed.safetensors")); err != nil {
		t.Fatal(err)
	}
	refusal(t, exitUsage, strings.Join(line, " "),
		"cajq_qat-42.packed.safetensors: it exists and is no packed model: move it away, or give another path")
	if err := os.Remove(file("cajq_qat-42.packed.safetensors")); err != nil {
		t.Fatal(err)
	}
	success(t, line...)
	if after, err := os.ReadFile(file("cajq_qat-42.packed.safetensors")); err != nil || !bytes.Equal(after, before) {
		t.Errorf("made again, it is another (%v)", err)
	}
	// Those of another experiment are moved aside, not replaced.
	other := append(cajqLine(t, filepath.Join(dir, "other.json"), "--seeds 42 --variants cajq_qat --qat-steps 3"),
		"--save", kept)
	if code, _, stderr := real(t, other...); code != exitOK ||
		strings.Count(stderr, " is of another run: it is now ") != 2 {
		t.Errorf("%d %s", code, stderr)
	}
	if aside, err := os.ReadFile(file("cajq_qat-42.packed.safetensors.before")); err != nil ||
		!bytes.Equal(aside, before) {
		t.Errorf("moved aside, it is another (%v)", err)
	}
	line[slices.Index(line, "--checkpoint")+1] = file("fp16_finetuned-42.safetensors")
	refusal(t, exitUsage, strings.Join(line, " "), "is the same file as --checkpoint")
}
