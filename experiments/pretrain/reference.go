package pretrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
)

// recipeTime is the time of a training of a recipe, extrapolated from a few steps of each of its stages.
type recipeTime struct {
	Machine     string    `json:"machine"`
	Timed       int       `json:"timed_steps"`  // of each stage
	StepSeconds []float64 `json:"step_seconds"` // of a step of each stage, in the mean
	Steps       []int     `json:"steps"`        // of the recipe, by stage
}

// seconds are those of all steps. Evaluations, checkpoints and the compilation of graphs are not in them.
func (t recipeTime) seconds() (all float64) {
	for i, n := range t.Steps {
		all += float64(n) * t.StepSeconds[i]
	}
	return all
}

// timedReference is the time of the reference recipe: the one noted at path, if it is of this machine, or else it is
// measured now and noted there, so that a run that continues has the one that it began with.
func timedReference(ctx context.Context, j *lab.Job, path string, steps int) (*recipeTime, error) {
	machine := lab.MachineOf(j.Environment)
	text, err := files.Read(path, lab.MaxNote)
	if err == nil {
		var noted recipeTime
		if err := json.Unmarshal(text, &noted); err != nil {
			return nil, fmt.Errorf("%s: %w; delete it to time the reference anew", path, err)
		}
		if noted.Machine == machine {
			return &noted, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	j.Line("times %d steps of each stage of recipe %s", steps, curriculum.Reference)
	t, err := timeRecipe(ctx, curriculum.Reference.Config(), steps)
	if err != nil {
		return nil, err
	}
	t.Machine = machine
	took := time.Duration(t.seconds() * float64(time.Second))
	j.Line("recipe %s would take %s", curriculum.Reference, took.Round(time.Second))
	return t, files.WriteJSON(path, t)
}

// timeRecipe times steps of each stage of a curriculum.
func timeRecipe(ctx context.Context, c curriculum.Config, steps int) (*recipeTime, error) {
	t := &recipeTime{Timed: steps}
	for _, s := range c.Stages() {
		n, err := s.StepsPerEpoch()
		if err != nil {
			return nil, err
		}
		t.Steps = append(t.Steps, n*s.Epochs)
	}
	c.EpochsPerStage, c.EvalSamples = 1, min(c.EvalSamples, 4*len(tasks.TrainingMixture()))
	c.SamplesPerStage = steps*c.BatchSize + len(tasks.TrainingMixture()) // whose counts are rounded down
	trainer, err := curriculum.New(c)
	if err != nil {
		return nil, err
	}
	took, counts := make([]time.Duration, len(t.Steps)), make([]int, len(t.Steps))
	trainer.Hooks.Step = func(s curriculum.Step) {
		took[s.Stage], counts[s.Stage] = took[s.Stage]+s.Duration, counts[s.Stage]+1
	}
	if err := trainer.Run(ctx); err != nil {
		return nil, err
	}
	for i, n := range counts {
		t.StepSeconds = append(t.StepSeconds, took[i].Seconds()/float64(n))
	}
	return t, nil
}

// times are those of the trainings of all seeds, and how many times the reference's they are where that was timed.
func times(all []*Result, reference *recipeTime) (measured []result.Measurement) {
	add := func(recipe curriculum.Recipe, seed, metric, unit string, value float64) *result.Measurement {
		l := result.Labels{"recipe": string(recipe), seedLabel: seed}
		measured = append(measured, result.ExactOf(l, result.Paper, metric, unit, value))
		return &measured[len(measured)-1]
	}
	if reference != nil {
		add(curriculum.Reference, "-", "training_time", "s", reference.seconds()).Note = fmt.Sprintf("extrapolated from %d "+
			"steps of each stage, timed on this machine before the first training; without evaluations and checkpoints",
			reference.Timed)
	}
	for _, r := range all {
		seed := strconv.FormatUint(r.Config.Seed, 10)
		add(r.Config.RecipeName(), seed, "training_time", "s", r.Cost.WallSeconds)
		if reference != nil && lab.MachineOf(r.Environment) == reference.Machine {
			add(r.Config.RecipeName(), seed, "times_the_reference", "x", r.Cost.WallSeconds/reference.seconds())
		}
	}
	return measured
}
