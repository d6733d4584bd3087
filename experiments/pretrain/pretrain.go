// Package pretrain has the experiment that trains the reference model on the curriculum (SPEC section 3), the model
// that most other experiments begin from.
package pretrain

import (
	"context"
	"errors"
	"os"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/qat"
)

// Training is one run of the curriculum (SPEC section 3) in an output directory.
type Training struct {
	Trainer     *curriculum.Trainer
	Environment result.Environment

	lab.RunDir
	file *lab.ResultFile // nil: pretrain.json in Dir
}

// Result is what a finished run leaves as the details of its result, pretrain.json.
type Result struct {
	Experiment  string             `json:"experiment"`
	Protocol    string             `json:"protocol"`
	Config      curriculum.Config  `json:"config"`
	Parameters  int                `json:"parameters"`
	Environment result.Environment `json:"environment"`
	Cost        result.Cost        `json:"cost"`
	Model       string             `json:"model"`                // file name of the weights
	Classifier  string             `json:"classifier,omitempty"` // file name of the retention classifier
	// History is whole in memory; in the file it is thinned out where it is very long.
	History curriculum.History  `json:"history"`
	Kernels graph.KernelHistory `json:"kernels,omitempty"` // of the steps
	// Further are the trainings with further seeds (Settings.FurtherSeeds).
	Further []*Result `json:"further,omitempty"`
	// Reference is the time of the reference recipe that those of all seeds are held against.
	Reference *recipeTime `json:"reference,omitempty"`
	// Final are the accuracies after the last epoch, with the paper's beside those of the reference recipe.
	Final []result.Measurement `json:"-"`
}

// New prepares a run from its beginning. A directory that holds a run already is refused.
func New(ctx context.Context, c curriculum.Config, dir string, env result.Environment,
	progress func(data.Progress)) (*Training, error) {
	p := &Training{Environment: env, RunDir: lab.RunDir{Dir: dir}}
	var err error
	if c.Data == nil { // before there is a folder
		if p.Trainer, err = curriculum.NewOn(ctx, c, qat.Base, dir, nil); err != nil {
			return nil, err
		}
	}
	_, made := os.Stat(dir)
	if err := p.Claim(lab.PretrainFile); err != nil {
		return nil, err
	}
	if c.Data != nil { // into the folder
		p.Trainer, err = curriculum.NewOn(ctx, c, qat.Base, dir, progress)
	}
	if err == nil {
		err = p.begin()
	}
	if err != nil {
		p.Unlock()
		if made != nil {
			_ = os.Remove(dir) // which has no effect unless it is empty
		}
		return nil, err
	}
	return p, nil
}

// begin saves the first checkpoint, which also finds out now, and not after an epoch, that the directory cannot be
// written.
func (p *Training) begin() error {
	p.Trainer.CheckpointPath = p.Path(lab.CheckpointFile)
	err := p.Trainer.Save()
	if err == nil {
		return nil
	}
	if info, failed := os.Stat(p.Path(metrics.Name)); failed == nil && info.Size() == 0 {
		return errors.Join(err, os.Remove(p.Path(metrics.Name))) // made just now, for nothing
	}
	return err
}

// ReadConfig is the configuration of the run in dir that Resume would continue. Of the checkpoint no more
// than the header is read.
func ReadConfig(dir string) (curriculum.Config, error) {
	d := lab.RunDir{Dir: dir}
	path, err := d.Checkpoint()
	if err != nil {
		return curriculum.Config{}, err
	}
	return curriculum.ReadConfig(path)
}

// Resume continues the run in dir from its last checkpoint. progress is told how far the reading of data is.
func Resume(ctx context.Context, dir string, env result.Environment, progress func(data.Progress)) (*Training, error) {
	p := &Training{Environment: env, RunDir: lab.RunDir{Dir: dir}}
	path, err := p.Checkpoint()
	if err != nil {
		return nil, err
	}
	if p.Trainer, err = curriculum.ResumeOn(ctx, path, qat.Base, progress); err != nil {
		return nil, err
	}
	if err := p.ReadCost(); err != nil {
		return nil, err
	}
	return p, nil
}

// LowerRate has a run that diverged go on with another peak learning rate (curriculum.Trainer.LowerRate).
func (p *Training) LowerRate(lr float64) error {
	if err := p.Lock(); err != nil {
		return err
	}
	defer p.Unlock()
	return p.Trainer.LowerRate(lr)
}

// Run trains to the end and writes the result, or until ctx ends, when it leaves a checkpoint.
func (p *Training) Run(ctx context.Context) (*Result, error) {
	if err := p.Lock(); err != nil {
		return nil, err
	}
	defer p.Unlock()
	p.Watch = lab.StartWatch()
	p.Trainer.Hooks.Saved = func(int) error { return p.SaveCost() }
	if err := p.Trainer.Run(ctx); err != nil {
		return nil, err
	}
	return p.finish()
}

func (p *Training) finish() (*Result, error) {
	t := p.Trainer
	r := &Result{
		Experiment: "pretrain", Protocol: "paper", Config: t.Config, Parameters: t.Model.Params.Count(),
		Environment: p.Environment, Cost: p.Cost(), Model: lab.ModelFile, History: t.History, Kernels: t.Kernels,
	}
	for _, m := range Experiment().WithPublished(r.outcome()) {
		if _, earlier := m.Labels[stepLabel]; !earlier {
			r.Final = append(r.Final, m)
		}
	}
	if t.Classifier != nil {
		r.Classifier = lab.ClassifierFile
		if err := t.Classifier.Save(p.Path(r.Classifier)); err != nil {
			return nil, err
		}
	}
	if err := t.SaveModel(p.Path(lab.ModelFile)); err != nil {
		return nil, err
	}
	if err := Plot(r, p.Dir); err != nil {
		return nil, err
	}
	if err := p.writeResult(r); err != nil {
		return nil, err
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	if t.Own != nil { // before the checkpoint: killed in between, the run resumes, reads its data again and comes here
		if err := data.Remove(curriculum.DataFolder(p.Dir)); err != nil {
			return nil, err
		}
	}
	return r, p.End()
}

func (p *Training) writeResult(r *Result) error {
	if p.file == nil {
		var err error
		_, p.file, err = lab.Standalone(Experiment(), r.Config, nil, p.Path(lab.PretrainFile), p.Environment)
		if err != nil {
			return err
		}
	}
	return p.file.Write(r.outcome(), true)
}
