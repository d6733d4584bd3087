package hardware

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// Validate names the first setting that cannot work with a model of configuration m.
func (s activationSettings) Validate(m layers.Config) error {
	return cmp.Or(measure.CheckFitting("contexts", m, s.Contexts), bounds.AtLeast("processes", 1, s.Processes),
		bounds.AtLeast("passes", 1, s.Passes))
}

// Validate names the first setting that cannot work with a model of configuration m.
func (s energySettings) Validate(m layers.Config) error {
	return cmp.Or(measure.CheckFitting("contexts", m, s.Contexts), bounds.Above("seconds", math.MaxFloat64, s.Seconds),
		bounds.AtLeast("repetitions", 1, s.Repetitions), bounds.Above("paper_watts", math.MaxFloat64, s.PaperWatts),
		bounds.Above("assumed_watts", math.MaxFloat64, s.AssumedWatts))
}

// Validate names the first setting that cannot work with a model of configuration m.
func (s sustainedSettings) Validate(m layers.Config) error {
	return cmp.Or(m.CheckContexts("context", s.Context), bounds.AtLeast("windows", 1, s.Windows),
		bounds.Above("seconds", math.MaxFloat64, s.Seconds))
}

// Validate names the first setting that cannot work with a model of configuration m.
func (s growthSettings) Validate(m layers.Config) error {
	if err := cmp.Or(m.CheckContexts("chunk", s.Chunk), bounds.AtLeast("entries", 1, s.Entries)); err != nil {
		return err
	}
	if s.Tokens < s.Chunk || s.Tokens%s.Chunk != 0 {
		return bounds.Wrong("tokens", s.Tokens, "it must be a whole number of chunks (`chunk` %d)", s.Chunk)
	}
	return nil
}

// Validate names the first setting that cannot work with a pretrained model of configuration m.
func (s deploymentSettings) Validate(m layers.Config) error {
	known, c := []string{tierMulti, tierSingle, tierApple}, s.Calibration
	names := make([]string, len(s.Tiers))
	for i, t := range s.Tiers {
		names[i] = t.Name
		if err := bounds.In("tiers", cmp.Or(bounds.Known("name", known, t.Name),
			bounds.AtLeast("max_context", layers.MinContext, t.MaxContext), bounds.AtLeast("timed", 1, t.Timed))); err != nil {
			return err
		}
	}
	of := tasks.Settings{Length: "calibration.context", Vocab: "random_models.vocab_size",
		Classes: "random_models.num_classes"}
	for _, model := range append([]layers.Config{m}, s.Random...) {
		if err := cmp.Or(bounds.In("random_models", model.Validate()), measure.CheckFitting("contexts", model, s.Contexts),
			measure.CheckTests(of, model, []int{min(c.Context, model.MaxLen)}, measure.MixtureTask)); err != nil {
			return err
		}
	}
	return cmp.Or(bounds.List("tiers", names...), bounds.Names("variants", deploymentVariants(), s.Variants...),
		bounds.Check("calibration.batches", c.Batches, 1, 1<<20), bounds.Check("calibration.batch", c.Batch, 1, 1<<16))
}

// Validate names the first setting that cannot work with a pretrained model of configuration m.
func (s pytorchSettings) Validate(m layers.Config) error {
	for _, k := range s.Cases {
		if err := bounds.In("cases", cmp.Or(bounds.Check("batch", k.Batch, 1, 1<<10),
			m.CheckContexts("context", k.Context))); err != nil {
			return err
		}
	}
	o := s.Optimiser
	return cmp.Or(bounds.List("cases", s.Cases...), bounds.AtLeast("warmups", 1, s.Warmups),
		bounds.AtLeast("rounds", 1, s.Rounds), bounds.Above("tolerance", 1, s.Tolerance),
		bounds.In("optimiser", cmp.Or(bounds.Above("lr", math.MaxFloat64, o.LR),
			bounds.Above("clip", math.MaxFloat64, o.Clip), bounds.Decay("beta1", o.Beta1), bounds.Decay("beta2", o.Beta2))))
}

// Validate names the first setting that cannot be: it reads the results that it needs, and no others.
func (s paretoSettings) Validate() error {
	for _, of := range slices.Sorted(maps.Keys(s.Deployed)) {
		if err := cmp.Or(bounds.Known("deployed", qat.VariantNames(), of),
			bounds.Known("deployed."+of, deploymentVariants(), s.Deployed[of])); err != nil {
			return err
		}
	}
	return cmp.Or(bounds.Names("accuracy", []string{"cajq-qat", "cajq-ablation"}, s.Accuracy...),
		bounds.Names("tasks", measure.Metrics(), s.Tasks...),
		bounds.Known("tier", []string{tierMulti, tierSingle, tierApple}, s.Tier),
		bounds.Known("rivals", []string{"baselines"}, s.Rivals))
}
