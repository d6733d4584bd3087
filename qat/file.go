package qat

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// quantisedKey is the metadata entry that holds, as JSON, what quantisers a model has.
const quantisedKey = "qat"

// header is the value of quantisedKey.
type header struct {
	Options     Options          `json:"options"`
	Calibration *Calibration     `json:"calibration,omitempty"`
	Salient     map[string][]int `json:"salient"` // columns in floating point, by weight
}

// File is the model with its quantisers as a safetensors file, in floating point: what training continues from. It is
// layers.Model.File and, under the names of Params, what the quantisers added.
func (q *Quantised) File() (*safetensors.File, error) {
	f, err := q.Model.File()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(header{q.Options, q.Calibration, q.salientColumns()})
	if err != nil {
		return nil, err
	}
	f.Metadata[quantisedKey] = string(text)
	return f, layers.AddParams(f, "", q.Params())
}

// Save writes the model and its quantisers to path.
func (q *Quantised) Save(path string) error {
	f, err := q.File()
	if err != nil {
		return err
	}
	return safetensors.Write(path, f)
}

// FromFile makes the quantised model that a file describes.
func FromFile(f *safetensors.File) (*Quantised, error) {
	if err := layers.WantKind(f, "a model with quantisers", layers.QuantisedFile, layers.QuantisedRun); err != nil {
		return nil, err
	}
	text, ok := f.Metadata[quantisedKey]
	if !ok {
		return nil, fmt.Errorf("the header has no key %q: this is not a model with quantisers; prepare one with cajq-qat",
			quantisedKey)
	}
	var h header
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return nil, fmt.Errorf("the quantisers in the header are not valid: %w", err)
	}
	model, added := split(f)
	m, err := layers.FromFile(model)
	if err != nil {
		return nil, err
	}
	if err := h.check(m); err != nil {
		return nil, fmt.Errorf("the quantisers in the header are not valid: %w", err)
	}
	q, err := attach(m, h.Options, h.Salient)
	if err != nil {
		return nil, fmt.Errorf("the quantisers in the header are not valid: %w", err)
	}
	q.Calibration = h.Calibration
	if n := len(q.Params()); n != added {
		return nil,
			fmt.Errorf("%d tensors of quantisers, where the options in the header need %d: the file was put together wrongly",
				added, n)
	}
	return q, layers.SetParams(f, "", q.Params())
}

// Base makes the model of a file, in floating point or with quantisers, for a training of package curriculum: it goes
// through the quantisers, whose steps and salient columns are trained, without a penalty on their drift.
func Base(f *safetensors.File) (curriculum.Base, error) {
	if !HasQuantisers(f) {
		return curriculum.FloatBase(f)
	}
	q, err := FromFile(f)
	if err != nil {
		return curriculum.Base{}, err
	}
	return curriculum.Base{Model: q.Model, Quantisers: &curriculum.Quantisers{
		Steps: q.StepParams(), Others: q.OtherParams(), File: q.File,
	}}, nil
}

// split is the file without the tensors that quantisers add, and the number of those.
func split(f *safetensors.File) (model *safetensors.File, added int) {
	model = &safetensors.File{Metadata: maps.Clone(f.Metadata)}
	delete(model.Metadata, quantisedKey)
	for _, t := range f.Tensors {
		own := strings.HasPrefix(t.Name, layers.OptimiserPrefix)
		if !own && slices.ContainsFunc(addedSuffixes, func(s string) bool { return strings.HasSuffix(t.Name, s) }) {
			added++
			continue
		}
		model.Tensors = append(model.Tensors, t)
	}
	return model, added
}

// check refuses settings and columns that attach and the kernels could not work with.
func (h header) check(m *layers.Model) error {
	if err := h.Options.Validate(m.Config); err != nil {
		return err
	}
	for name, columns := range h.Salient {
		p, ok := m.Params.ByName(name)
		if !ok {
			return fmt.Errorf("salient columns of %s, which the model does not have", name)
		}
		n := p.Shape()[len(p.Shape())-1]
		for i, j := range columns {
			if j < 0 || j >= n || i > 0 && j <= columns[i-1] {
				return fmt.Errorf("salient columns %v of %s: they must ascend and lie in 0..%d", columns, name, n-1)
			}
		}
	}
	return nil
}

// sameColumns compares salient columns by weight.
func sameColumns(a, b map[string][]int) bool {
	return maps.EqualFunc(a, b, slices.Equal[[]int])
}
