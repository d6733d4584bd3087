package experiments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/results/published"
)

// Names of the files of a pretraining run in its output directory.
const (
	ModelFile      = "model.safetensors"      // the trained weights, at the end
	CheckpointFile = "checkpoint.safetensors" // weights, optimiser and position, until the end
	costFile       = "cost.json"              // of the sessions so far, until the end

	pretrainResultFile = "pretrain.json"
)

// Pretraining is one run of the curriculum (SPEC section 3) in an output directory.
type Pretraining struct {
	Trainer     *curriculum.Trainer
	Dir         string
	Environment Environment

	spent Cost // in earlier sessions
	watch stopwatch
	file  *resultFile // nil: pretrain.json in Dir
}

// PretrainResult is what a finished run leaves as the details of its result, pretrain.json.
type PretrainResult struct {
	Experiment  string             `json:"experiment"`
	Protocol    string             `json:"protocol"`
	Config      curriculum.Config  `json:"config"`
	Parameters  int                `json:"parameters"`
	Environment Environment        `json:"environment"`
	Cost        Cost               `json:"cost"`
	Model       string             `json:"model"` // file name of the weights
	History     curriculum.History `json:"history"`
	Published   []PublishedTask    `json:"published,omitempty"` // only for the reference recipe
}

// NewPretraining prepares a run from its beginning. A directory that holds a run already is refused.
func NewPretraining(c curriculum.Config, dir string, env Environment) (*Pretraining, error) {
	t, err := curriculum.New(c)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{CheckpointFile, ModelFile, pretrainResultFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return nil, fmt.Errorf("output directory %s already holds a run (%s): continue it with --resume, or give another --output-dir", dir, name)
		}
	}
	return beginPretraining(t, dir, env)
}

// beginPretraining prepares a run in dir, whatever is there.
func beginPretraining(t *curriculum.Trainer, dir string, env Environment) (*Pretraining, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make output directory %s: %w", dir, withoutPath(err))
	}
	t.CheckpointPath = filepath.Join(dir, CheckpointFile)
	if err := t.Save(); err != nil { // also finds out now, and not after an epoch, that the directory cannot be written
		return nil, err
	}
	return &Pretraining{Trainer: t, Dir: dir, Environment: env}, nil
}

// ResumePretraining continues the run in dir from its last checkpoint.
func ResumePretraining(dir string, env Environment) (*Pretraining, error) {
	path := filepath.Join(dir, CheckpointFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, ModelFile)); err == nil {
			return nil, fmt.Errorf("the run in %s has ended: its weights are in %s", dir, ModelFile)
		}
		return nil, fmt.Errorf("there is no checkpoint %s to resume: leave out --resume to begin a run, or give the --output-dir of one", path)
	}
	t, err := curriculum.Resume(path)
	if err != nil {
		return nil, err
	}
	p := &Pretraining{Trainer: t, Dir: dir, Environment: env}
	text, err := os.ReadFile(filepath.Join(dir, costFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil // killed before the first step that counts
	}
	if err == nil {
		err = json.Unmarshal(text, &p.spent)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; delete it to resume without the time spent so far", filepath.Join(dir, costFile), withoutPath(err))
	}
	return p, nil
}

func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Run trains to the end and writes the result, or until ctx ends, when it leaves a checkpoint.
func (p *Pretraining) Run(ctx context.Context) (*PretrainResult, error) {
	p.watch = startWatch()
	p.Trainer.Report.Saved = func(int) error {
		return writeJSON(filepath.Join(p.Dir, costFile), p.cost())
	}
	if err := p.Trainer.Run(ctx); err != nil {
		return nil, err
	}
	return p.finish()
}

func (p *Pretraining) cost() Cost { return p.spent.Add(p.watch.cost()) }

func (p *Pretraining) finish() (*PretrainResult, error) {
	t := p.Trainer
	r := &PretrainResult{
		Experiment: "pretrain", Protocol: "paper", Config: t.Config, Parameters: t.Model.Params.Count(),
		Environment: p.Environment, Cost: p.cost(), Model: ModelFile, History: t.History,
	}
	if isReferenceRecipe(t.Config) {
		var err error
		if r.Published, err = comparePublished(t.History.Evaluations[len(t.History.Evaluations)-1].Evaluation); err != nil {
			return nil, err
		}
	}
	if err := t.Model.Save(filepath.Join(p.Dir, ModelFile)); err != nil {
		return nil, err
	}
	if err := PlotPretraining(r, p.Dir); err != nil {
		return nil, err
	}
	if err := p.writeResult(r); err != nil {
		return nil, err
	}
	// The model is complete and on disk: the optimiser's state, three times its size, has served.
	for _, name := range []string{CheckpointFile, costFile} {
		if err := os.Remove(filepath.Join(p.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return r, nil
}

func (p *Pretraining) writeResult(r *PretrainResult) error {
	if p.file == nil {
		var err error
		_, p.file, err = standaloneJob(pretrainExperiment(), r.Config, nil, filepath.Join(p.Dir, pretrainResultFile), p.Environment)
		if err != nil {
			return err
		}
	}
	return p.file.write(r.outcome(), true)
}

// isReferenceRecipe says whether c is the recipe of the published run, whatever its seed.
func isReferenceRecipe(c curriculum.Config) bool {
	want := curriculum.Default()
	want.Seed = c.Seed
	a, errA := json.Marshal(c)
	b, errB := json.Marshal(want)
	return errA == nil && errB == nil && string(a) == string(b)
}

// PublishedTask holds our accuracy against the published one.
type PublishedTask struct {
	Task      string              `json:"task"`
	Published float64             `json:"published"`
	Ours      curriculum.Accuracy `json:"ours"`
	Reached   bool                `json:"reached"` // the published value is not above our 95% interval
}

// publishedTasks are the tasks of the mixture in the order in which the reference numbers them.
var publishedTasks = []string{"niah_single", "niah_multi_key", "variable_track", "fa"}

// comparePublished holds an evaluation against the reference's after its last epoch, at context 1024.
func comparePublished(e curriculum.Evaluation) ([]PublishedTask, error) {
	var history []struct {
		Overall float64            `json:"overall"`
		PerTask map[string]float64 `json:"per_task"`
	}
	if err := published.Decode("eval_history.json", &history); err != nil {
		return nil, err
	}
	last := history[len(history)-1]
	row := func(task string, theirs float64, ours curriculum.Accuracy) PublishedTask {
		return PublishedTask{Task: task, Published: theirs, Ours: ours, Reached: ours.High >= theirs}
	}
	rows := []PublishedTask{row("overall", last.Overall, e.Overall)}
	for i, task := range publishedTasks {
		rows = append(rows, row(task, last.PerTask[strconv.Itoa(i)], e.PerTask[task]))
	}
	return rows, nil
}
