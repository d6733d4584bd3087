// Package recipe has the experiment that says which parts of the recipe `strong` make a model learn the look-up, and
// what each of its other parts is worth.
package recipe

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
)

// descriptions are the experiment's description.
//
//go:embed *.toml
var descriptions embed.FS

// settings are three trials of a small model: the look-up alone, the recipe in one pass, and reading from memory.
type settings struct {
	LookUp trial    `json:"look_up"`
	Whole  trial    `json:"whole"`
	Memory trial    `json:"memory"`
	Seeds  []uint64 `json:"seeds"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// trial is a training, and its variants.
type trial struct {
	Training curriculum.Config `json:"training"`
	Variants []variant         `json:"variants"`
	Contexts []int             `json:"contexts"` // of the test
	Chunk    int               `json:"chunk"`    // tokens that the test reads at a time; 0: all of a sample
	Tasks    []string          `json:"tasks"`
	Samples  int               `json:"samples"` // of each task and context
	Seed     uint64            `json:"seed"`    // of the test
}

// variant is the training with something else.
type variant struct {
	Name string `json:"name"`
	// Set are keys of the training's configuration with their values, "model.k_frac=1"; Stage those of each stage.
	Set   []string `json:"set,omitempty"`
	Stage []string `json:"stage,omitempty"`
	// Questions is how many a sample asks where it asks several; 0: as the training has it.
	Questions int `json:"questions,omitempty"`
}

// Experiment compares variants of the recipe.
func Experiment() lab.Experiment {
	base := curriculum.Default()
	base.Curriculum, base.SampleKeys = nil, 0 // the experiment's own
	return lab.Describe(descriptions, "recipe", settings{
		LookUp: trial{Training: base}, Whole: trial{Training: base}, Memory: trial{Training: base},
	}, run)
}

// Validate names the first setting that cannot be.
func (s settings) Validate() error {
	if err := cmp.Or(bounds.List("seeds", s.Seeds...), s.SampleKeys.Check()); err != nil {
		return err
	}
	if s.SampleKeys.Version() == tasks.Keys1 {
		return bounds.Wrong("sample_keys", s.SampleKeys, "the fresh samples of the trials need 2")
	}
	_, err := s.runs()
	return err
}

// training is one run of a trial.
type training struct {
	trial, variant string
	config         curriculum.Config
	of             trial
}

func (r training) key() string { return fmt.Sprintf("%s/%s/%d", r.trial, r.variant, r.config.Seed) }

// runs lists all, seed by seed, so that what is done first is a whole table.
func (s settings) runs() (all []training, err error) {
	for _, seed := range s.Seeds {
		for _, t := range []struct {
			name string
			trial
		}{{"look_up", s.LookUp}, {"whole", s.Whole}, {"memory", s.Memory}} {
			if err := t.check(s.SampleKeys); err != nil {
				return nil, bounds.In(t.name, err)
			}
			for i, v := range t.Variants {
				c, err := v.of(t.Training)
				if err == nil {
					c.Seed, c.SampleKeys = seed, s.SampleKeys
					err = c.Validate()
				}
				if err != nil {
					return nil, bounds.In(fmt.Sprintf("%s.variants.%d", t.name, i+1), err)
				}
				all = append(all, training{t.name, v.Name, c, t.trial})
			}
		}
	}
	return all, nil
}

func (t trial) check(keys tasks.Keys) error {
	of := tasks.Settings{Task: "tasks", Length: "contexts", Vocab: "training.model.vocab_size",
		Classes: "training.model.num_classes"}
	names := make([]string, len(t.Variants))
	for i, v := range t.Variants {
		names[i] = v.Name
	}
	switch base := t.Training; {
	case base.InitFrom != "":
		return bounds.Wrong("training.init_from", base.InitFrom, "the models begin from initial values: leave it out")
	case base.SampleKeys != 0:
		return bounds.Wrong("training.sample_keys", base.SampleKeys, "leave it out: the experiment's own sample_keys counts")
	case len(base.Curriculum) > 0:
		return bounds.Wrong("training.curriculum", base.Curriculum, "the trial has stages, whose keys its variants change: "+
			"leave it out")
	case len(base.Stage) == 0:
		return bounds.Wrong("training.stage", 0, "the trial needs one at least")
	case len(base.Mixture) > 0:
		return bounds.Wrong("training.mixture", len(base.Mixture), "each stage has its own: leave it out")
	}
	base := t.Training
	base.SampleKeys = keys
	if err := cmp.Or(bounds.In("training", base.Validate()), bounds.List("variants", names...),
		bounds.Names("tasks", tasks.Names(), t.Tasks...),
		bounds.AtLeast("samples", 1, t.Samples), bounds.Check("chunk", t.Chunk, 0, t.Training.Model.MaxLen),
		measure.CheckTests(of, t.Training.Model, t.Contexts, t.Tasks...)); err != nil {
		return err
	}
	for _, length := range t.Contexts {
		if t.Chunk > 0 && length%t.Chunk != 0 {
			return bounds.Wrong("contexts", t.Contexts, "they must be multiples of a chunk's %d tokens", t.Chunk)
		}
	}
	if slices.Contains(names, "") {
		return bounds.Wrong("variants", names, "each needs a name")
	}
	return nil
}

// of is the training as the variant has it.
func (v variant) of(c curriculum.Config) (curriculum.Config, error) {
	c, err := changed(c, v.Set)
	if err != nil {
		return c, err
	}
	c.Stage = slices.Clone(c.Stage)
	for i := range c.Stage {
		if c.Stage[i], err = changed(c.Stage[i], v.Stage); err != nil {
			return c, err
		}
		mixture := slices.Clone(c.Stage[i].Mixture)
		for k := range mixture {
			if v.Questions > 0 && mixture[k].Questions > 0 {
				mixture[k].Questions = v.Questions
			}
		}
		c.Stage[i].Mixture = mixture
	}
	return c, nil
}

// changed is a configuration with other values of some keys, each KEY=VALUE. A value that is no JSON is a word.
func changed[C any](c C, set []string) (C, error) {
	changes := map[string]any{}
	for _, s := range set {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return c, bounds.Wrong("set", s, "it must be KEY=VALUE, e.g. %q", "model.k_frac=1")
		}
		var v any
		if json.Unmarshal([]byte(value), &v) != nil {
			v = value
		}
		lab.Put(changes, key, v)
	}
	next, err := lab.Changed(c, changes)
	if err != nil {
		return c, bounds.Wrong("set", set, "%v", foreign.JSON(err))
	}
	return next, nil
}

// cell is what became of a training.
type cell struct {
	Steps   int  `json:"steps"`
	Tokens  int  `json:"tokens"`
	Reached bool `json:"reached"` // the goal of the first stage, before its time was over
	At      int  `json:"at"`      // the step that it ended with
	// Accuracy is by context and task.
	Accuracy map[string]map[string]result.Score `json:"accuracy"`
}

type comparison struct {
	settings
	job  *lab.Job
	work string // folder of checkpoints
	done *lab.Cells[cell]
}

func run(ctx context.Context, j *lab.Job, s settings) (*lab.Outcome, error) {
	runs, err := s.runs()
	if err != nil {
		return nil, err
	}
	r := &comparison{settings: s, job: j}
	if r.done, err = lab.NewCells[cell](j, len(runs)); err != nil {
		return nil, err
	}
	if r.work, err = j.Work(); err != nil {
		return nil, err
	}
	r.done.Outcome = func() (*lab.Outcome, error) { return r.outcome(runs), nil }
	for _, t := range runs {
		if _, err := r.done.Do(ctx, t.key(), func() (cell, error) { return r.train(ctx, t) }); err != nil {
			return nil, err
		}
		if err := os.RemoveAll(r.checkpoint(t)); err != nil { // it has served
			return nil, err
		}
	}
	return r.done.Finish()
}

func (r *comparison) checkpoint(t training) string {
	return filepath.Join(r.work, strings.ReplaceAll(t.key(), "/", "-")+".safetensors")
}

// train trains, or continues a training of the same settings, and tests the model.
func (r *comparison) train(ctx context.Context, run training) (c cell, err error) {
	t, _, err := measure.OpenTraining(r.job, run.key(), r.checkpoint(run), run.config)
	if err != nil {
		return c, err
	}
	t.Hooks.Evaluation = func(e curriculum.EpochEvaluation) {
		r.job.Line("%s: step %d, context %d, overall %.3f", run.key(), e.Step, e.Context, e.Overall.Mean)
	}
	if err := t.Run(ctx); err != nil {
		return c, fmt.Errorf("%s: %w", run.key(), err)
	}
	c.Steps, c.At = t.Done(), t.StageSteps()[0]
	for i, s := range t.Config.Stages() {
		c.Tokens += t.StageSteps()[i] * s.BatchSize * s.Context
	}
	for _, e := range t.History.Evaluations {
		_, reached := t.Config.Stages()[0].Ends(e)
		c.Reached = c.Reached || e.Stage == 0 && reached
	}
	return c, t.Averaged(func() (err error) {
		c.Accuracy, err = r.test(ctx, run, t.Model)
		return err
	})
}

// test is the accuracy of a trained model by context and task.
func (r *comparison) test(ctx context.Context, run training, m *layers.Model) (
	map[string]map[string]result.Score, error) {
	scores, err := measure.EvaluationPlan{Tasks: run.of.Tasks, Contexts: run.of.Contexts, Samples: run.of.Samples,
		BatchSize: 16, Chunk: run.of.Chunk, Seed: run.of.Seed, Purpose: tasks.RecipeTest,
		SampleKeys: r.SampleKeys}.Scores(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", run.key(), err)
	}
	return scores, nil
}

// outcome has each variant over the seeds that are done.
func (r *comparison) outcome(runs []training) *lab.Outcome {
	o := &lab.Outcome{Seeds: r.Seeds, Unpublished: true}
	for _, first := range runs[:len(runs)/len(r.Seeds)] {
		var cells []cell
		for _, seed := range r.Seeds {
			first.config.Seed = seed
			if c, ok := r.done.Done[first.key()]; ok {
				cells = append(cells, c)
			}
		}
		if len(cells) > 0 {
			o.Measurements = append(o.Measurements, measurements(first, cells)...)
		}
	}
	return o
}

// measurements are those of a variant, of one cell a seed.
func measurements(t training, cells []cell) (all []result.Measurement) {
	l := result.Labels{"trial": t.trial, result.VariantLabel: t.variant}
	var steps, reached, tokens []float64
	for _, c := range cells {
		steps, tokens = append(steps, float64(c.At)), append(tokens, float64(c.Tokens))
		reached = append(reached, map[bool]float64{true: 1}[c.Reached])
	}
	all = append(all,
		result.MeanOf(l, result.Strict, "learnt", "1", reached),
		result.MeanOf(l, result.Strict, "steps", "1", steps),
		result.MeanOf(l, result.Strict, "tokens", "1", tokens))
	for _, length := range t.of.Contexts {
		at := result.ContextOf(length)
		for _, task := range t.of.Tasks {
			var of []result.Score
			for _, c := range cells {
				of = append(of, c.Accuracy[at][task])
			}
			m := result.With(result.With(l, result.ContextLabel, at), result.TaskLabel, task)
			all = append(all, result.ShareOverSeeds(m, result.Strict, "accuracy", result.Accuracies(of)))
		}
	}
	return all
}
