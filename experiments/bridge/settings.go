package bridge

import (
	"cmp"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/layers"
)

// Validate names the first setting that no model allows. What depends on the model is checked when it is read.
func (s removalSettings) Validate() error {
	return cmp.Or(lab.Distinct("seeds", s.Seeds...), lab.Contexts("contexts", s.Contexts...),
		lab.AtLeast("samples", 1, s.Samples),
		lab.AtLeast("recovery.steps", 1, s.Recovery.Steps),
		lab.AtLeast("recovery.batch", 1, s.Recovery.Batch),
		lab.AtLeast("recovery.context", layers.MinContext, s.Recovery.Context))
}

// Validate names the first setting that cannot be.
func (s scratchSettings) Validate() error {
	p, q := s.Paper, s.Strict
	if err := cmp.Or(lab.Distinct("seeds", s.Seeds...),
		lab.AtLeast("paper.context", layers.MinContext, p.Context), lab.AtLeast("paper.samples", 1, p.Samples),
		lab.AtLeast("paper.steps", 1, p.Steps),
		lab.AtLeast("paper.batch", 1, p.Batch), lab.Within("paper.lr", 0, 10, p.LR),
		lab.Contexts("paper.contexts", p.Contexts...), lab.AtLeast("paper.held", 1, p.Held),
		lab.AtLeast("strict.short", layers.MinContext, q.Short), lab.AtLeast("strict.context", layers.MinContext, q.Context),
		lab.AtLeast("strict.batch", 1, q.Batch), lab.Within("strict.lr", 0, 10, q.LR),
		lab.AtLeast("strict.every", 1, q.Every),
		lab.AtLeast("strict.patience", 1, q.Patience), lab.AtLeast("strict.most", 1, q.Most),
		lab.AtLeast("strict.cooldown", 1, q.Cooldown),
		lab.AtLeast("strict.held", 1, q.Held), lab.Contexts("strict.contexts", q.Contexts...),
		lab.AtLeast("strict.final", 1, q.Final)); err != nil {
		return err
	}
	_, err := (&scratch{scratchSettings: s}).models()
	return err
}
