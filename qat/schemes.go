package qat

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// scheme is that of the weights of a target.
func (o Options) scheme(t Target) (*scheme.Scheme, error) {
	if name, ok := o.Schemes[t]; ok {
		return scheme.Lookup(name)
	}
	switch {
	case t == SSM && o.SSMQuantiser == Paper7:
		return scheme.Paper7, nil
	case t == SSM:
		return scheme.SEQ2, nil
	case t == Embeddings && o.EmbeddingBits == 8, t == Head && o.HeadBits == 8:
		return scheme.Int8, nil
	case o.Metadata == MetadataFloat32:
		return scheme.Int4Float32, nil
	}
	return scheme.Int4, nil
}

// checkSchemes refuses schemes that there are not, and schemes of what is no target.
func (o Options) checkSchemes() error {
	for _, t := range slices.Sorted(maps.Keys(o.Schemes)) {
		if !o.Has(t) {
			return fmt.Errorf("schemes names %q, which is none of the targets %s: add it to them", t, join(o.Targets))
		}
		if t == Memory {
			return fmt.Errorf("schemes names %q, whose entries are no weights: leave it out", t)
		}
		if _, err := scheme.Lookup(o.Schemes[t]); err != nil {
			return fmt.Errorf("schemes of target %s: %w", t, err)
		}
	}
	return nil
}

// freezes says whether the weights of a target do not train, but for their salient columns.
func (o Options) freezes(t Target) bool {
	of, err := o.scheme(t)
	return err == nil && t == Attention && o.Int4Mode == Int4Frozen && of.Check != nil
}

// quantiser makes that of a weight, with parameters of zeros.
func (o Options) quantiser(s slot, salient []int) (*layers.FakeQuant, error) {
	of, err := o.scheme(s.target)
	if err != nil {
		return nil, err
	}
	f := &layers.FakeQuant{Scheme: of}
	m, err := scheme.Spec{Shape: s.Shape}.Matrix()
	if err != nil {
		return nil, err
	}
	if of.Steps != nil {
		f.LogStep = graph.NewParam(s.stepName()+logStepSuffix, m.Rows)
		f.InitLogStep = graph.NewParam(s.stepName()+initSuffix, m.Rows)
		f.InitLogStep.Frozen = true
	}
	if of.Check == nil {
		return f, nil
	}
	f.Settings = scheme.Settings{Group: o.GroupSize, Salient: salient}
	if o.freezes(s.target) && len(salient) > 0 {
		f.Columns = graph.NewParam(strings.TrimSuffix(s.Name, ".weight")+salientSuffix, m.Rows, len(salient))
	}
	return f, of.Check(m.Cols, f.Settings)
}
