package experiments

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/results/published"
)

// PretrainFile is the result of a pretraining run in its output directory.
const PretrainFile = "pretrain.json"

// Pretraining is one run of the curriculum (SPEC section 3) in an output directory.
type Pretraining struct {
	Trainer     *curriculum.Trainer
	Environment Environment

	runDir
	file *resultFile // nil: pretrain.json in Dir
}

// PretrainResult is what a finished run leaves as the details of its result, pretrain.json.
type PretrainResult struct {
	Experiment  string            `json:"experiment"`
	Protocol    string            `json:"protocol"`
	Config      curriculum.Config `json:"config"`
	Parameters  int               `json:"parameters"`
	Environment Environment       `json:"environment"`
	Cost        Cost              `json:"cost"`
	Model       string            `json:"model"` // file name of the weights
	// History is whole in memory; in the file it is thinned out where it is very long.
	History   curriculum.History  `json:"history"`
	Kernels   graph.KernelHistory `json:"kernels,omitempty"`   // of the steps
	Published []PublishedTask     `json:"published,omitempty"` // only for the reference recipe
}

// NewPretraining prepares a run from its beginning. A directory that holds a run already is refused.
func NewPretraining(c curriculum.Config, dir string, env Environment) (*Pretraining, error) {
	t, err := curriculum.New(c)
	if err != nil {
		return nil, err
	}
	p := &Pretraining{Trainer: t, Environment: env, runDir: runDir{Dir: dir}}
	if err := p.claim(PretrainFile); err != nil {
		return nil, err
	}
	if err := p.begin(); err != nil {
		p.unlock()
		return nil, err
	}
	return p, nil
}

// begin saves the first checkpoint, which also finds out now, and not after an epoch, that the directory cannot be written.
func (p *Pretraining) begin() error {
	p.Trainer.CheckpointPath = p.path(CheckpointFile)
	err := p.Trainer.Save()
	if err == nil {
		return nil
	}
	if info, failed := os.Stat(p.path(metrics.Name)); failed == nil && info.Size() == 0 {
		return errors.Join(err, os.Remove(p.path(metrics.Name))) // made just now, for nothing
	}
	return err
}

// PretrainingConfig is the configuration of the run in dir that ResumePretraining would continue. Of the checkpoint no more
// than the header is read.
func PretrainingConfig(dir string) (curriculum.Config, error) {
	d := runDir{Dir: dir}
	path, err := d.checkpoint()
	if err != nil {
		return curriculum.Config{}, err
	}
	return curriculum.ReadConfig(path)
}

// ResumePretraining continues the run in dir from its last checkpoint.
func ResumePretraining(dir string, env Environment) (*Pretraining, error) {
	p := &Pretraining{Environment: env, runDir: runDir{Dir: dir}}
	path, err := p.checkpoint()
	if err != nil {
		return nil, err
	}
	if p.Trainer, err = curriculum.Resume(path); err != nil {
		return nil, err
	}
	if err := p.readCost(); err != nil {
		return nil, err
	}
	return p, nil
}

// Run trains to the end and writes the result, or until ctx ends, when it leaves a checkpoint.
func (p *Pretraining) Run(ctx context.Context) (*PretrainResult, error) {
	if err := p.lock(); err != nil {
		return nil, err
	}
	defer p.unlock()
	p.watch = startWatch()
	p.Trainer.Hooks.Saved = func(int) error { return p.saveCost() }
	if err := p.Trainer.Run(ctx); err != nil {
		return nil, err
	}
	return p.finish()
}

func (p *Pretraining) finish() (*PretrainResult, error) {
	t := p.Trainer
	r := &PretrainResult{
		Experiment: "pretrain", Protocol: "paper", Config: t.Config, Parameters: t.Model.Params.Count(),
		Environment: p.Environment, Cost: p.cost(), Model: ModelFile, History: t.History, Kernels: t.Kernels,
	}
	if isReferenceRecipe(t.Config) {
		var err error
		if r.Published, err = comparePublished(t.History.Evaluations[len(t.History.Evaluations)-1].Evaluation); err != nil {
			return nil, err
		}
	}
	if err := t.Model.Save(p.path(ModelFile)); err != nil {
		return nil, err
	}
	if err := PlotPretraining(r, p.Dir); err != nil {
		return nil, err
	}
	if err := p.writeResult(r); err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return r, nil
}

func (p *Pretraining) writeResult(r *PretrainResult) error {
	if p.file == nil {
		var err error
		_, p.file, err = standaloneJob(pretrainExperiment(), r.Config, nil, p.path(PretrainFile), p.Environment)
		if err != nil {
			return err
		}
	}
	return p.file.write(r.outcome(), true)
}

// isReferenceRecipe says whether c is the recipe of the published run, whatever its seed and the keys of its samples.
func isReferenceRecipe(c curriculum.Config) bool {
	want := curriculum.Default()
	want.Seed, want.SampleKeys = c.Seed, c.SampleKeys
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
