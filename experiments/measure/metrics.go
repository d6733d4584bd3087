package measure

import (
	"cmp"
	"context"
	"fmt"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// Metrics of an evaluation: two single tasks and the training mixture, each on samples of its own.
const (
	MetricSingle   = "niah_single"
	MetricMultiKey = "niah_multi_key"
	MetricMixture  = "multi_task"
)

// Metrics lists them in the order of reports.
func Metrics() []string { return []string{MetricSingle, MetricMultiKey, MetricMixture} }

// MetricEvaluation scores models of one experiment on each metric, at each context, for each seed: the same samples for
// all models.
type MetricEvaluation struct {
	Seeds      []uint64
	Contexts   []int // tokens
	Samples    int   // of each single task; of the mixture about twice as many
	SampleKeys tasks.Keys
}

// Check is an error, in one line, if a model of configuration m cannot be evaluated so.
func (e MetricEvaluation) Check(m layers.Config) error {
	if len(e.Seeds) == 0 || len(e.Contexts) == 0 || e.Samples < 1 {
		return fmt.Errorf("seeds %v, context lengths %v, samples %d: give at least one of each", e.Seeds, e.Contexts,
			e.Samples)
	}
	if err := cmp.Or(lab.Once("seed", e.Seeds), lab.Once("context length", e.Contexts), e.SampleKeys.Check()); err != nil {
		return err
	}
	for _, t := range e.Contexts {
		if t < layers.MinContext || t > m.MaxLen {
			return fmt.Errorf("context length %d: it must be from %d to the model's max_len %d", t, layers.MinContext, m.MaxLen)
		}
		for _, metric := range []string{MetricSingle, MetricMultiKey} {
			if err := tasks.Check(metric, TaskParams(m, t)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Draw is a seed of the experiment's samples.
func (e MetricEvaluation) Draw(seed uint64) tasks.Draw {
	return tasks.Draw{Keys: e.SampleKeys, Seed: seed}
}

// evalData is the source of the evaluation data of a metric (0, 1 or 2) for a seed of the experiment. The published
// protocol takes the data of seed, seed+1 and seed+2 themselves, but the pretrained model was trained on data of seeds
// 42 (context 512) and 43 (context 1024), so that its evaluations at context 1024 with these seeds would be on samples
// that it has seen; and the sets of different seeds would overlap.
func (e MetricEvaluation) evalData(seed uint64, metric int) tasks.Source {
	return e.Draw(seed).For(tasks.Quantisation, metric)
}

// Run scores a model at one context, each metric on data of its own.
func (e MetricEvaluation) Run(ctx context.Context, m *layers.Model, t int,
	seed uint64) (map[string]result.Score, error) {
	p := TaskParams(m.Config, t)
	scores := map[string]result.Score{}
	for i, metric := range Metrics() {
		var samples []tasks.Sample
		var err error
		if metric == MetricMixture {
			samples, err = tasks.Mixture(2*e.Samples, p, e.evalData(seed, i), tasks.TrainingMixture())
		} else {
			samples, err = tasks.Generate(metric, e.Samples, p, e.evalData(seed, i))
		}
		if err != nil {
			return nil, err
		}
		got, err := curriculum.EvaluateContext(ctx, m, samples, EvalBatch)
		if err != nil {
			return nil, err
		}
		scores[metric] = result.NewScore(got)
	}
	return scores, nil
}
