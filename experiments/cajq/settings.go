package cajq

import (
	"cmp"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/qat"
)

// Validate names the first setting that no model allows. What depends on the model is checked when it is read.
func (s Settings) Validate() error {
	return cmp.Or(lab.Distinct("seeds", s.Seeds...), lab.Contexts("contexts", s.Contexts...),
		lab.AtLeast("samples", 1, s.Samples), lab.Known("variants", qat.VariantNames(), s.Variants...),
		lab.AtLeast("experiment.finetune.steps", 1, s.Experiment.Finetune.Steps),
		lab.AtLeast("experiment.finetune.batch", 1, s.Experiment.Finetune.Batch))
}
