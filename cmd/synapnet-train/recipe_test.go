package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/pretrain"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// configOf is the configuration of a finished run.
func configOf(t *testing.T, dir string) curriculum.Config {
	t.Helper()
	r, err := result.Read(filepath.Join(dir, lab.PretrainFile))
	if err != nil {
		t.Fatal(err)
	}
	var run pretrain.Result
	if err := json.Unmarshal(r.Details, &run); err != nil {
		t.Fatal(err)
	}
	return run.Config
}

// ownStages is a file with a stage and what is tiny enough for a run of it.
const ownStages = "cooldown_steps = 1\nsamples_per_stage = 32\n[[stage]]\ncontext = 32\nepochs = 1\n"

// A run has the recipe's settings where neither the file nor flags have others: stages are replaced as a whole.
func TestRecipeIsOverridden(t *testing.T) {
	strong := curriculum.Strong.Config()
	dir := filepath.Join(t.TempDir(), "flags")
	_, stderr := trained(t, "pretrain --recipe strong "+tiny+" --curriculum 32 64 --config "+
		written(t, "cooldown_steps = 3")+" --output-dir "+dir)
	if !strings.Contains(stderr, "recipe strong with other settings, 9937 parameters, 10 steps, seed 42, ") {
		t.Error(stderr)
	}
	c := configOf(t, dir)
	if c.Recipe != curriculum.Strong || c.Init != strong.Init || c.CooldownSteps != 3 || c.LR != 1e-3 ||
		len(c.Stage) > 0 || !slices.Equal(c.Curriculum, []int{32, 64}) {
		t.Errorf("%+v", c)
	}
	dir = filepath.Join(t.TempDir(), "stages")
	line := "pretrain --recipe strong --init published --config " + written(t, ownStages) + " --output-dir " + dir + " " +
		strings.ReplaceAll(tiny, "--epochs-per-stage 1 ", "")
	trained(t, line)
	c = configOf(t, dir)
	if c.Recipe != curriculum.Strong || c.Init != "" || len(c.Stage) != 1 || c.Curriculum != nil {
		t.Errorf("%+v", c)
	}
	if s := c.Stage[0]; s.Fresh || s.RandomOffset || s.Until != "" || len(s.Mixture) > 0 || s.BatchSize != 0 {
		t.Errorf("the file's stage has settings of the recipe's: %+v", s)
	}
}

// A model to begin from stands in place of the recipe's initial values.
func TestRecipeFromModel(t *testing.T) {
	dir := t.TempDir()
	trained(t, "pretrain "+tiny+" --curriculum 32 --output-dir "+dir+"/base")
	trained(t, "pretrain --recipe strong --init-from "+dir+"/base/model.safetensors --config "+
		written(t, ownStages+"batch_size = 8\n")+" --eval-samples 32 --warmup-steps 2 --output-dir "+dir+"/run")
	if c := configOf(t, dir+"/run"); c.Init != "" || c.Recipe != curriculum.Strong || c.Model.Dim != 16 {
		t.Errorf("%+v", c)
	}
}

// What a recipe's stages have of their own is refused elsewhere, as long as they stay; what goes wrong with a value of
// the recipe's names it.
func TestWhatGoesWithNoRecipe(t *testing.T) {
	const mend = "give --curriculum or [[stage]] in a --config FILE"
	for line, want := range map[string]string{
		"--recipe strog":                 `--recipe strog: it must be one of reference, strong; did you mean "strong"?`,
		"--recipe strong --batch-size 2": "--batch-size: the stages of recipe strong have their own: " + mend,
		"--recipe strong --tasks fa=1":   "--tasks: the stages of recipe strong have their own: " + mend,
		"--recipe strong --data x.jsonl": "--data: the stages of recipe strong are of tasks: " + mend,
		"--recipe strong --max-len 16":   "--recipe strong: stage.1.context is ",
		"--recipe strong --architecture gru_ssm": `--recipe strong: init is "induction": architecture gru_ssm has no such ` +
			"initial values: give published",
		"--recipe strong --lr -1": "--lr -1: it must be above 0",
		"--init inducton":         `--init inducton: it must be one of published, induction; did you mean "induction"?`,
	} {
		refusal(t, exitUsage, "pretrain "+line, want)
	}
	for text, want := range map[string]string{
		"\nbatch_size = 2":             ":2: batch_size: the stages of recipe strong have their own: " + mend,
		"[[mixture]]\ntask = \"fa\"":   ":1: mixture: the stages of recipe strong have their own: " + mend,
		"[data]\ntrain = [\"x.json\"]": ":1: data: the stages of recipe strong are of tasks: " + mend,
		"lr = -1":                      ":1: lr is -1: it must be above 0",
	} {
		path := written(t, text)
		refusal(t, exitUsage, "pretrain --recipe strong --config "+path, program+": "+path+want)
	}
}

// A run goes on with its recipe, and with no other.
func TestResumeKeepsTheRecipe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	config := written(t, ownStages)
	flags := "--init induction --config " + config + " --output-dir " + dir
	line := "pretrain --recipe strong " + flags + " " + strings.ReplaceAll(tiny, "--epochs-per-stage 1 ", "")
	stopped(t, line, "step 2/")
	for flag, want := range map[string]string{
		"--recipe reference": "--recipe is reference, but the run began with strong: ",
		"--init published":   "--init is published, but the run began with induction: ",
	} {
		refusal(t, exitUsage, "pretrain --resume --output-dir "+dir+" "+flag, want)
	}
	if out := success(t, "info", filepath.Join(dir, lab.CheckpointFile)); !strings.Contains(out,
		"\nrecipe strong with other settings\n") {
		t.Error(out)
	}
	trained(t, "pretrain --resume --recipe strong --init induction --output-dir "+dir)
	if c := configOf(t, dir); c.Recipe != curriculum.Strong || c.Init != layers.Induction {
		t.Errorf("%+v", c)
	}
}

// info tells of a recipe's model and of its contexts.
func TestInfoOfRecipe(t *testing.T) {
	var d description
	if err := json.Unmarshal([]byte(success(t, "info", "--recipe", "strong", "--json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Recipe != "recipe strong" || d.Model != "the model of recipe strong" || len(d.Contexts) == 0 {
		t.Errorf("%+v", d)
	}
}
