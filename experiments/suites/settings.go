package suites

import (
	"cmp"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// Validate names the first setting that cannot work with a model of configuration m.
func (s suiteSettings) Validate(m layers.Config) error {
	of := tasks.Settings{Task: "tasks", Length: "contexts"}
	for _, protocol := range []string{result.Paper, result.Strict} {
		p := s.parts()[protocol]
		if len(p.Variants) == 0 && len(p.Tasks) == 0 {
			continue // a suite without this protocol
		}
		if err := bounds.In(protocol, cmp.Or(bounds.Names("variants", qat.VariantNames(), p.Variants...),
			bounds.AtLeast("samples", 1, p.Samples), measure.CheckTests(of, m, p.Contexts, p.Tasks...))); err != nil {
			return err
		}
	}
	return measure.CheckVariants("making", s.Making, m, s.variants()...)
}

// variants are the names of those of both protocols.
func (s suiteSettings) variants() []string { return lab.Union(s.Paper.Variants, s.Strict.Variants) }
