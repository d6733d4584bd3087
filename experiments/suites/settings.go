package suites

import (
	"cmp"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/qat"
)

// Validate names the first setting that no model allows. What depends on the model is checked when it is read.
func (s suiteSettings) Validate() error {
	return cmp.Or(s.Paper.validate("paper."), s.Strict.validate("strict."))
}

func (p suitePart) validate(prefix string) error {
	if len(p.Variants) == 0 && len(p.Tasks) == 0 {
		return nil // a suite without this protocol
	}
	return cmp.Or(lab.Known(prefix+"variants", qat.VariantNames(), p.Variants...),
		lab.Distinct(prefix+"tasks", p.Tasks...),
		lab.Contexts(prefix+"contexts", p.Contexts...),
		lab.AtLeast(prefix+"samples", 1, p.Samples))
}
