package bridge

import (
	"cmp"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
)

// Validate names the first setting that cannot work with a model of configuration m.
func (s removalSettings) Validate(m layers.Config) error {
	return cmp.Or(s.evaluation().Check(m), bounds.In("recovery", s.Recovery.Validate(m)))
}

// evaluation is how every variant is scored.
func (s removalSettings) evaluation() measure.MetricEvaluation {
	return measure.MetricEvaluation{Seeds: s.Seeds, Contexts: s.Contexts, Samples: s.Samples, SampleKeys: s.SampleKeys}
}

// Validate names the first setting that cannot be.
func (s scratchSettings) Validate() error {
	p, q := s.Paper, s.Strict
	return cmp.Or(bounds.List("seeds", s.Seeds...),
		bounds.In(result.Paper, cmp.Or(checkModel(p.Model, p.Contexts, "context", p.Context),
			bounds.AtLeast("samples", 1, p.Samples), bounds.AtLeast("steps", 1, p.Steps), bounds.AtLeast("batch", 1, p.Batch),
			bounds.Above("lr", 10, p.LR), bounds.AtLeast("held", 1, p.Held))),
		bounds.In(result.Strict, cmp.Or(checkModel(q.Model, q.Contexts, "context", q.Context),
			checkModel(q.Model, q.Contexts, "short", q.Short), bounds.AtLeast("batch", 1, q.Batch), bounds.Above("lr", 10, q.LR),
			bounds.AtLeast("every", 1, q.Every), bounds.AtLeast("patience", 1, q.Patience), bounds.AtLeast("most", 1, q.Most),
			bounds.AtLeast("cooldown", 1, q.Cooldown), bounds.AtLeast("held", 1, q.Held), bounds.AtLeast("final", 1, q.Final))))
}

// checkModel names the first setting of a protocol, its model's or a context's of training or evaluation, that cannot
// be.
func checkModel(m layers.Config, evaluated []int, setting string, trained int) error {
	if err := bounds.In("model", m.Validate()); err != nil {
		return err
	}
	of := tasks.Settings{Length: setting, Vocab: "model.vocab_size", Classes: "model.num_classes"}
	if err := measure.CheckTests(of, m, []int{trained}, measure.MixtureTask); err != nil {
		return err
	}
	of.Length = "contexts"
	return measure.CheckTests(of, m, evaluated, measure.MixtureTask)
}
