package experiments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/synapnet/synapnet-train/curriculum"
)

// Names of the files of a pretraining run in its output directory.
const (
	ModelFile      = "model.safetensors"      // the trained weights, at the end
	CheckpointFile = "checkpoint.safetensors" // weights, optimiser and position, until the end
	resultFile     = "pretrain.json"
	costFile       = "cost.json" // of the sessions so far, until the end
)

// Pretraining is one run of the curriculum (SPEC section 3) in an output directory.
type Pretraining struct {
	Trainer     *curriculum.Trainer
	Dir         string
	Environment Environment

	spent Cost // in earlier sessions
	watch stopwatch
}

// PretrainResult is what a finished run leaves in pretrain.json.
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
	for _, name := range []string{CheckpointFile, ModelFile, resultFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return nil, fmt.Errorf("output directory %s already holds a run (%s): continue it with --resume, or give another --output-dir", dir, name)
		}
	}
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

func (p *Pretraining) cost() Cost { return p.spent.add(p.watch.cost()) }

func (p *Pretraining) finish() (*PretrainResult, error) {
	t := p.Trainer
	r := &PretrainResult{
		Experiment: "pretrain", Protocol: "paper", Config: t.Config, Parameters: t.Model.Params.Count(),
		Environment: p.Environment, Cost: p.cost(), Model: ModelFile, History: t.History,
	}
	if isReferenceRecipe(t.Config) {
		r.Published = comparePublished(t.History.Evaluations[len(t.History.Evaluations)-1].Evaluation)
	}
	if err := t.Model.Save(filepath.Join(p.Dir, ModelFile)); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(p.Dir, resultFile), r); err != nil {
		return nil, err
	}
	if err := plotPretraining(r, p.Dir); err != nil {
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

// isReferenceRecipe says whether c is the recipe of the published run, whatever its seed.
func isReferenceRecipe(c curriculum.Config) bool {
	want := curriculum.Default()
	want.Seed = c.Seed
	a, errA := json.Marshal(c)
	b, errB := json.Marshal(want)
	return errA == nil && errB == nil && string(a) == string(b)
}

// published is the reference's accuracy at context 1024 after its last epoch (results/published/eval_history.json).
var published = []struct {
	task     string
	accuracy float64
}{
	{"overall", 0.44881889763779526},
	{"niah_single", 0.5686274509803921},
	{"niah_multi_key", 0.13157894736842105},
	{"variable_track", 0.7368421052631579},
	{"fa", 0.47368421052631576},
}

// PublishedTask holds our accuracy against the published one.
type PublishedTask struct {
	Task      string              `json:"task"`
	Published float64             `json:"published"`
	Ours      curriculum.Accuracy `json:"ours"`
	Reached   bool                `json:"reached"` // the published value is not above our 95% interval
}

func comparePublished(e curriculum.Evaluation) []PublishedTask {
	var rows []PublishedTask
	for _, p := range published {
		ours := e.Overall
		if p.task != "overall" {
			ours = e.PerTask[p.task]
		}
		rows = append(rows, PublishedTask{Task: p.task, Published: p.accuracy, Ours: ours, Reached: ours.High >= p.accuracy})
	}
	return rows
}
