package qat

import (
	"errors"
	"fmt"
	"maps"

	"github.com/x448/float16"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// Convert makes the simulated model what its packed file holds, so that the fake-quant graph and the packed model
// compute the same. It rounds, in place: learned steps to half precision, the scales and zeros of INT4 to one byte
// each (Options.Metadata becomes compact), and every parameter that is not quantised, and the smoothing factors, to
// half precision, except what that does not hold (scheme.HoldsHalf), which stays as it is. Converting twice changes
// nothing more. A weight of a scheme without packed form is an error, and then nothing is changed.
func (q *Quantised) Convert() error {
	if _, err := q.pack(); err != nil {
		return err
	}
	for _, w := range q.Weights {
		if err := w.Convert(); err != nil {
			return fmt.Errorf("weight %s: %w", w.Name, err)
		}
	}
	q.Options.Metadata, q.Options.Schemes = MetadataCompact, maps.Clone(q.Options.Schemes)
	for t, name := range q.Options.Schemes {
		if name == scheme.Int4Float32.Name {
			q.Options.Schemes[t] = scheme.Int4.Name
		}
	}
	quantised := map[*graph.Param]bool{}
	for _, w := range q.Weights {
		quantised[w.Param] = true
	}
	for _, p := range q.Model.Params.All() {
		if !quantised[p] {
			halve(p.Data(), scheme.HoldsHalf)
		}
	}
	for _, p := range q.smooth {
		halve(p.Data(), scheme.HoldsEachHalf)
	}
	return nil
}

// halve rounds to half precision if that holds the values.
func halve(data []float32, holds func([]float32) bool) {
	if !holds(data) {
		return
	}
	for i, v := range data {
		data[i] = float16.Fromfloat32(v).Float32()
	}
}

// PackedModel is the model that the packed file holds.
func (q *Quantised) PackedModel() (*layers.Model, error) {
	f, err := q.PackedFile()
	if err != nil {
		return nil, err
	}
	return layers.FromFile(f)
}

// PackedFile is the packed file (scheme/FORMAT.md) of the model as Convert would make it. The model is not changed.
func (q *Quantised) PackedFile() (*safetensors.File, error) {
	if len(q.Weights) == 0 {
		return nil,
			fmt.Errorf("targets %s quantise no weights, only what is computed from them: there is nothing to pack; add a "+
				"target such as %s", join(q.Options.Targets), SSM)
	}
	if err := finite(q.Model); err != nil {
		return nil, err
	}
	packed, err := q.pack()
	if err != nil {
		return nil, err
	}
	return q.Model.PackedFile(packed)
}

// pack gives the packed forms of the weights by their names.
func (q *Quantised) pack() (map[string]*scheme.Packed, error) {
	packed := make(map[string]*scheme.Packed, len(q.Weights))
	for _, s := range slots(q.Model) {
		if s.Fake == nil {
			continue
		}
		p, err := s.Pack()
		if err != nil {
			mend := "leave out target " + string(s.target)
			if s.Fake.Scheme == scheme.Int8 {
				mend = fmt.Sprintf("export --scheme %s=%s", s.target, scheme.Int4.Name)
			}
			return nil, fmt.Errorf("weight %s: %w (%s)", s.Name, err, mend)
		}
		packed[s.Name] = p
	}
	return packed, nil
}

// ErrNotPacked is Inspect's error for a file in floating point.
var ErrNotPacked = errors.New("the model is not packed: its weights are in floating point; make a packed one " +
	"with export")

// HasQuantisers says whether a file is a model with its quantisers in floating point (Quantised.Save), for FromFile.
func HasQuantisers(f *safetensors.File) bool {
	_, ok := f.Metadata[quantisedKey]
	return ok
}
