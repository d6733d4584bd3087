package pretrain

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
)

// descriptions are the experiments' descriptions.
//
//go:embed *.toml
var descriptions embed.FS

const (
	stepLabel  = "step" // of the optimiser
	lossBlocks = 2000   // of lossBlock steps, in a run whose blocks are not longer
)

// Experiment trains the reference model on the curriculum, or with the recipe of its profile.
func Experiment() lab.Experiment {
	return lab.DescribeOn(descriptions, "pretrain", func(p lab.Profile) Settings {
		recipe := curriculum.Reference
		if p == lab.Strong {
			recipe = curriculum.Strong
		}
		return Settings{Config: recipe.Config()}
	}, runPretrain)
}

// runPretrain trains, or continues a training from its checkpoint.
func runPretrain(ctx context.Context, j *lab.Job, s Settings) (*lab.Outcome, error) {
	if len(s.FurtherSeeds) > 0 {
		return runSeeds(ctx, j, s)
	}
	p, err := openPretraining(ctx, s.Config, j)
	if err != nil {
		return nil, err
	}
	if err := p.tell(j, "", j.Progress); err != nil {
		return nil, err
	}
	r, err := p.Run(ctx)
	if err != nil {
		return nil, err
	}
	return r.outcome(), nil
}

// tell has a job told how the training goes, with a word before each line.
func (p *Training) tell(j *lab.Job, word string, progress func(done, total int)) error {
	p.Trainer.CheckpointEvery = 100
	total, err := p.Trainer.Config.TotalSteps()
	if err != nil {
		return err
	}
	p.Trainer.Hooks.Step = func(s curriculum.Step) { progress(s.Step, total) }
	p.Trainer.Hooks.Evaluation = func(e curriculum.EpochEvaluation) {
		j.Line("%sstage %d epoch %d: accuracy %.3f [%.3f, %.3f]", word, e.Stage+1, e.Epoch+1, e.Overall.Mean, e.Overall.Low,
			e.Overall.High)
	}
	return nil
}

// openPretraining continues from the checkpoint in the job's folder, or begins.
func openPretraining(ctx context.Context, c curriculum.Config, j *lab.Job) (*Training, error) {
	path := filepath.Join(j.Dir, lab.CheckpointFile)
	_, err := os.Stat(path)
	var p *Training
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// in a folder that the driver made
		p = &Training{Environment: j.Environment, RunDir: lab.RunDir{Dir: j.Dir}}
		if p.Trainer, err = curriculum.NewOn(ctx, c, qat.Base, j.Dir, nil); err != nil {
			return nil, err
		}
		if err := p.begin(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if p, err = Resume(ctx, j.Dir, j.Environment, nil); err != nil {
			return nil, fmt.Errorf("%w: delete %s to train from the beginning", err, path)
		}
		if c, err = c.Continued(p.Trainer.Config); err != nil {
			return nil, err
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
	}
	switch c := r.Config; {
	case !c.IsRecipe():
		o.Unpublished, o.Notes = true, []string{"Other settings than the published"}
	case c.RecipeName() != curriculum.Reference:
		o.Unpublished, o.Notes = true, []string{fmt.Sprintf("Recipe %s, not the published", c.Recipe)}
	}
	evals := lab.ThinTo(lab.MostEvaluations, r.History.Evaluations)
	last := evals[len(evals)-1]
	for _, e := range evals {
		for _, task := range append([]string{curriculum.Overall}, e.Tasks()...) {
			a := e.Overall
			if task != curriculum.Overall {
				a = e.PerTask[task]
			}
			m := result.Share(result.Labels{result.TaskLabel: task, stepLabel: strconv.Itoa(e.Step)}, result.Paper, "accuracy",
				a)
			o.Measurements = append(o.Measurements, m)
			if e.Step == last.Step {
				m.Labels = result.Labels{result.TaskLabel: task}
				o.Measurements = append(o.Measurements, m)
			}
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
