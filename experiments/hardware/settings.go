package hardware

import (
	"cmp"
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/layers"
)

// What is wrong with the settings whatever the model. What depends on it is checked when it is read.

// Validate names the first setting that no model allows.
func (s activationSettings) Validate() error {
	return cmp.Or(lab.Contexts("contexts", s.Contexts...), lab.AtLeast("processes", 1, s.Processes),
		lab.AtLeast("passes", 1, s.Passes))
}

// Validate names the first setting that no model allows.
func (s energySettings) Validate() error {
	return cmp.Or(lab.Contexts("contexts", s.Contexts...), lab.Within("seconds", 0, math.MaxFloat64, s.Seconds),
		lab.AtLeast("repetitions", 1, s.Repetitions),
		lab.Within("paper_watts", 0, math.MaxFloat64, s.PaperWatts),
		lab.Within("assumed_watts", 0, math.MaxFloat64, s.AssumedWatts))
}

// Validate names the first setting that no model allows.
func (s sustainedSettings) Validate() error {
	return cmp.Or(lab.AtLeast("context", layers.MinContext, s.Context), lab.AtLeast("windows", 1, s.Windows),
		lab.Within("seconds", 0, math.MaxFloat64, s.Seconds))
}

// Validate names the first setting that no model allows.
func (s growthSettings) Validate() error {
	return cmp.Or(lab.AtLeast("chunk", layers.MinContext, s.Chunk), lab.AtLeast("tokens", s.Chunk, s.Tokens),
		lab.AtLeast("entries", 1, s.Entries))
}

// Validate names the first setting that no model allows.
func (s deploymentSettings) Validate() error {
	known := []string{tierMulti, tierSingle, tierApple}
	for _, t := range s.Tiers {
		if err := cmp.Or(lab.Known("tiers", known, t.Name), lab.AtLeast("tiers", layers.MinContext, t.MaxContext),
			lab.AtLeast("tiers", 1, t.Timed)); err != nil {
			return err
		}
	}
	for _, m := range s.Random {
		if err := m.Validate(); err != nil {
			return fmt.Errorf("random_models: %w", err)
		}
	}
	c := s.Calibration
	return cmp.Or(lab.Contexts("contexts", s.Contexts...), lab.Known("variants", deploymentVariants(), s.Variants...),
		lab.AtLeast("calibration.batches", 1, c.Batches),
		lab.AtLeast("calibration.batch", 1, c.Batch), lab.AtLeast("calibration.context", layers.MinContext, c.Context))
}

// Validate names the first setting that cannot be: it reads the results that it needs, and no others.
func (s paretoSettings) Validate() error {
	return cmp.Or(lab.Known("accuracy", []string{"cajq-qat", "cajq-ablation"}, s.Accuracy...),
		lab.Known("tasks", measure.Metrics(), s.Tasks...),
		lab.Known("tier", []string{tierMulti, tierSingle, tierApple}, s.Tier),
		lab.Known("rivals", []string{"baselines"}, s.Rivals))
}
