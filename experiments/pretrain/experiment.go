package pretrain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/results/published"
)

const (
	stepLabel  = "step" // of the optimiser
	lossBlocks = 2000   // of lossBlock steps, in a run whose blocks are not longer
)

// QuickConfig is the recipe of the quick profile's model: that of configs/demo.toml with 32 classes, for the tasks that
// need more than 16.
func QuickConfig() curriculum.Config {
	c := curriculum.Default()
	c.Curriculum, c.SamplesPerStage, c.BatchSize, c.LR, c.WarmupSteps = []int{64, 128}, 4096, 16, 1e-3, 100
	c.Model.Dim, c.Model.Depth, c.Model.Heads = 96, 3, 4
	c.Model.VocabSize, c.Model.MaxLen, c.Model.NumClasses, c.Model.EpisodicSlots = 512, 256, 32, 8
	return c
}

// Experiment trains the reference model on the curriculum.
func Experiment() lab.Experiment {
	return lab.Define(lab.Experiment{
		Name: "pretrain", Title: "Pretraining on the curriculum",
		Source: "Section 3, eval_history.json, training_curve.json",
		Covers: []string{"Quickstart: pretrain the reference 8.7M model"},
		Files:  []string{lab.ModelFile}, Extras: []string{lab.CurvesSVG, lab.CurvesPNG, metrics.Name}, Alone: true,
		Estimate: lab.Durations{lab.Quick: 75 * time.Second, lab.Full: 45 * time.Minute},
		Views: []lab.View{
			{Title: "Accuracy on held-out samples after the last epoch", Metric: "accuracy", Rows: []string{result.TaskLabel}},
			{Title: "Accuracy on held-out samples after each epoch", Metric: "accuracy", Rows: []string{result.TaskLabel},
				Column: stepLabel,
				Figure: &lab.Figure{Kind: "line", X: stepLabel, Series: result.TaskLabel}},
			{Title: "Training loss, means of 64 steps", Metric: "loss", Rows: []string{stepLabel}, Column: "split",
				Figure: &lab.Figure{Kind: "line", X: stepLabel, Series: "split"}},
		},
		Says: "One run of the published recipe on 2,048 optimiser steps. The published run is one run too, evaluated on " +
			"the same number of samples, so a difference inside the interval is no difference; looking up one of several keys " +
			"is not learnt by either.",
	}, curriculum.Default(), QuickConfig(), runPretrain)
}

// runPretrain trains, or continues a training from its checkpoint.
func runPretrain(ctx context.Context, j *lab.Job, c curriculum.Config) (*lab.Outcome, error) {
	p, err := openPretraining(c, j)
	if err != nil {
		return nil, err
	}
	p.Trainer.CheckpointEvery = 100
	total, err := c.TotalSteps()
	if err != nil {
		return nil, err
	}
	p.Trainer.Hooks.Step = func(s curriculum.Step) { j.Progress(s.Step, total) }
	p.Trainer.Hooks.Evaluation = func(e curriculum.EpochEvaluation) {
		j.Line("stage %d epoch %d: accuracy %.3f [%.3f, %.3f]", e.Stage+1, e.Epoch+1, e.Overall.Mean, e.Overall.Low,
			e.Overall.High)
	}
	r, err := p.Run(ctx)
	if err != nil {
		return nil, err
	}
	return r.outcome(), nil
}

// openPretraining continues from the checkpoint in the job's folder, or begins.
func openPretraining(c curriculum.Config, j *lab.Job) (*Training, error) {
	path := filepath.Join(j.Dir, lab.CheckpointFile)
	_, err := os.Stat(path)
	var p *Training
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t, err := curriculum.New(c)
		if err != nil {
			return nil, err
		}
		// in a folder that the driver made
		p = &Training{Trainer: t, Environment: j.Environment, RunDir: lab.RunDir{Dir: j.Dir}}
		if err := p.begin(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if p, err = Resume(j.Dir, j.Environment); err != nil {
			return nil, fmt.Errorf("%w: delete %s to train from the beginning", err, path)
		}
		if !lab.SameButKeys(p.Trainer.Config, c) {
			return nil, fmt.Errorf("checkpoint %s is of other settings: delete it or move it away", path)
		}
		if err := j.Output.Settle(Experiment(), p.Trainer.Config); err != nil { // it goes on with its keys of samples
			return nil, err
		}
		j.Line("continues at step %d", p.Trainer.Done())
		for _, line := range append(p.Trainer.Warnings, lab.KeysNote(path, c.SampleKeys, p.Trainer.Config.SampleKeys)) {
			if line != "" {
				j.Line("%s", line)
			}
		}
	}
	p.file = j.Output
	return p, nil
}

// outcome is the run in the form of all results.
func (r *Result) outcome() *lab.Outcome {
	o := &lab.Outcome{
		Seeds: []uint64{r.Config.Seed}, Details: r.kept(), Environment: &r.Environment, Cost: &r.Cost,
		Protocol: "paper: the published recipe: curriculum, task mixture, AdamW with linear warm-up and cosine. Intervals " +
			"are Wilson's, over the held-out samples",
	}
	if !isReferenceRecipe(r.Config) {
		o.Protocol = "the published method with other settings: curriculum, task mixture, AdamW with linear warm-up and " +
			"cosine. Intervals are Wilson's, over the held-out samples"
	}
	evals := lab.ThinTo(lab.MostEvaluations, r.History.Evaluations)
	last := evals[len(evals)-1]
	reference := map[string]float64{}
	for _, p := range r.Published {
		reference[p.Task] = p.Published
	}
	history := publishedHistory(isReferenceRecipe(r.Config))
	for _, e := range evals {
		for _, task := range append([]string{"overall"}, e.Tasks()...) {
			a := e.Overall
			if task != "overall" {
				a = e.PerTask[task]
			}
			m := result.Share(result.Labels{result.TaskLabel: task, stepLabel: strconv.Itoa(e.Step)}, result.Paper, "accuracy",
				a)
			if p, ok := history[e.Step][task]; ok {
				m.Published = &result.MeanStd{Mean: p}
			}
			o.Measurements = append(o.Measurements, m)
			if e.Step != last.Step {
				continue
			}
			m.Labels, m.Published = result.Labels{result.TaskLabel: task}, nil
			if p, ok := reference[task]; ok {
				m.Published = &result.MeanStd{Mean: p}
			}
			o.Measurements = append(o.Measurements, m)
		}
	}
	o.Measurements = append(o.Measurements, r.losses()...)
	return o
}

// kept is the result as its file has it.
func (r *Result) kept() *Result {
	k := *r
	k.History = curriculum.History{Steps: lab.Thin(r.History.Steps),
		Evaluations: lab.ThinTo(lab.MostEvaluations, r.History.Evaluations)}
	return &k
}

// losses are the means of the training loss over blocks of steps.
func (r *Result) losses() []result.Measurement {
	var all []result.Measurement
	steps := r.History.Steps
	size := lab.LossBlock * max(1, (len(steps)+lab.LossBlock*lossBlocks-1)/(lab.LossBlock*lossBlocks))
	for from := 0; from < len(steps); from += size {
		block := steps[from:min(from+size, len(steps))]
		var x []float64
		for _, s := range block {
			x = append(x, s.Loss)
		}
		all = append(all, result.Mean(result.Measurement{
			Labels:   result.Labels{"split": "training", stepLabel: strconv.Itoa(block[len(block)-1].Step)},
			Protocol: result.Paper, Metric: "loss", Unit: "nats",
		}, x...))
	}
	return all
}

// publishedHistory is the reference's accuracy by step and task; empty unless the recipe is the published one.
func publishedHistory(reference bool) map[int]map[string]float64 {
	all := map[int]map[string]float64{}
	if !reference {
		return all
	}
	for _, h := range published.Must[[]publishedEvaluation]("eval_history.json") {
		all[h.Step] = map[string]float64{"overall": h.Overall}
		for i, task := range publishedTasks {
			if v, ok := h.PerTask[strconv.Itoa(i)]; ok {
				all[h.Step][task] = v
			}
		}
	}
	return all
}
