package pretrain

import (
	"cmp"
	"context"
	"fmt"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
)

// positionsSettings are those of the experiment on positions beyond the trained ones.
type positionsSettings struct {
	Tasks    []string `json:"tasks"`
	Trained  int      `json:"trained_context"` // tokens of the longest context of the training
	Contexts []int    `json:"contexts"`        // tokens
	Samples  []int    `json:"samples"`         // of each task, by context
	Seed     uint64   `json:"seed"`            // of the samples

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// PositionsExperiment evaluates the pretrained model beyond the contexts of its training with trained positions alone.
func PositionsExperiment() lab.Experiment {
	return lab.Describe(descriptions, "positions", positionsSettings{}, runPositions)
}

// Validate names the first setting that cannot work with a model of configuration m.
func (s positionsSettings) Validate(m layers.Config) error {
	if err := cmp.Or(s.SampleKeys.Check(), bounds.AtLeast("samples", 1, s.Samples...),
		layers.Positions{Mode: layers.WrapPositions, Trained: s.Trained}.Check(m),
		measure.CheckTests(tasks.Settings{Task: "tasks", Length: "contexts"}, m, s.Contexts, s.Tasks...)); err != nil {
		return err
	}
	if len(s.Samples) != len(s.Contexts) {
		return bounds.Wrong("samples", s.Samples, "give a number for each of the %d `contexts`", len(s.Contexts))
	}
	return nil
}

// positions is the experiment under way.
type positions struct {
	positionsSettings
	model *layers.Model
	done  *lab.Cells[result.Score]
}

// positionsCell is what one score is about.
type positionsCell struct {
	task    string
	context int
	samples int
	mode    layers.PositionMode
}

func (c positionsCell) name() string { return fmt.Sprintf("%s/%d/%s", c.task, c.context, c.mode) }

func (s positionsSettings) cells() (all []positionsCell) {
	for _, task := range s.Tasks {
		for i, t := range s.Contexts {
			for _, mode := range layers.PositionModes() {
				all = append(all, positionsCell{task, t, s.Samples[i], mode})
			}
		}
	}
	return all
}

// runPositions evaluates what is missing.
func runPositions(ctx context.Context, j *lab.Job, s positionsSettings) (*lab.Outcome, error) {
	m, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	if err := s.Validate(m.Config); err != nil {
		return nil, err
	}
	p := &positions{positionsSettings: s, model: m}
	if p.done, err = lab.NewCells[result.Score](j, len(s.cells())); err != nil {
		return nil, err
	}
	p.done.Outcome = p.outcome
	for _, c := range s.cells() {
		score, err := p.done.Do(ctx, c.name(), func() (result.Score, error) { return p.score(ctx, c) })
		if err != nil {
			return nil, err
		}
		j.Line("%s, %d tokens, %s: %.3f of %d", c.task, c.context, c.mode, score.Mean, score.N)
	}
	return p.done.Finish()
}

// score is the accuracy with the positions of a cell, on the samples that those of its task and context have in common.
func (p *positions) score(ctx context.Context, c positionsCell) (result.Score, error) {
	p.model.Positions = layers.Positions{Mode: c.mode, Trained: p.Trained}
	source, err := tasks.NewSampler(c.task, measure.TaskParams(p.model.Config, c.context),
		tasks.Draw{Keys: p.SampleKeys, Seed: p.Seed}.For(tasks.Positions, 0))
	if err != nil {
		return result.Score{}, err
	}
	e, err := curriculum.EvaluateSamples(ctx, p.model, c.samples, c.context, min(measure.EvalBatch, c.samples),
		source.Next, nil)
	return result.NewScore(e), err
}

// outcome computes all measurements of the cells that are done.
func (p *positions) outcome() (*lab.Outcome, error) {
	o := &lab.Outcome{Seeds: []uint64{p.Seed}}
	for _, c := range p.cells() {
		score, ok := p.done.Done[c.name()]
		if !ok {
			continue
		}
		l := result.Labels{result.VariantLabel: string(c.mode), result.TaskLabel: c.task,
			result.ContextLabel: result.ContextOf(c.context)}
		o.Measurements = append(o.Measurements, result.Share(l, result.Strict, "accuracy", score.Accuracy))
		if c.mode == layers.PlainPositions {
			chance, err := measure.Chance(p.model.Config, c.task, c.context)
			if err != nil {
				return nil, err
			}
			o.Measurements = append(o.Measurements, result.GuessingOf(l, result.Strict, score.N, chance))
			continue
		}
		plain := c
		plain.mode = layers.PlainPositions
		m, ok, err := result.DifferenceOverSeeds(result.With(l, result.AgainstLabel, string(plain.mode)), result.Strict,
			[]result.Score{score}, []result.Score{p.done.Done[plain.name()]})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name(), err)
		}
		if ok {
			o.Measurements = append(o.Measurements, m)
		}
	}
	return o, nil
}
