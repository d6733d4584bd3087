package measure

import (
	"cmp"
	"context"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
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

// Check names the first setting with which a model of configuration m cannot be evaluated so.
func (e MetricEvaluation) Check(m layers.Config) error {
	return cmp.Or(bounds.List("seeds", e.Seeds...), bounds.AtLeast("samples", 1, e.Samples), e.SampleKeys.Check(),
		CheckTests(tasks.Settings{Length: "contexts"}, m, e.Contexts, Metrics()...))
}

// CheckTests names the first setting, of the contexts or of the tasks, with which a model of configuration m cannot be
// tested, by the keys that they have in of.
func CheckTests(of tasks.Settings, m layers.Config, contexts []int, names ...string) error {
	if err := cmp.Or(bounds.List(of.Length, contexts...), m.CheckContexts(of.Length, contexts...),
		bounds.Names(of.Task, append(tasks.Names(), MixtureTask), names...)); err != nil {
		return err
	}
	for _, t := range contexts {
		for _, task := range names {
			parts := []tasks.Weight{{Task: task}}
			if task == MixtureTask {
				parts = tasks.TrainingMixture()
			}
			for _, w := range parts {
				if err := of.Check(w.Task, TaskParams(m, t)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// CheckVariants names the first setting, variants or one in the table of how they are made, with which the variants
// cannot be made of a model of configuration m.
func CheckVariants(table string, making qat.Experiment, m layers.Config, names ...string) error {
	variants, err := qat.LookupVariants(names...)
	for _, v := range variants {
		err = cmp.Or(err, bounds.In(table, v.Check(making, m)))
	}
	return err
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
