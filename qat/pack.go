package qat

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/x448/float16"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// Convert makes the simulated model what its packed file holds, so that the fake-quant graph and the packed model compute
// the same. It rounds, in place: the 2-bit steps to half precision, the scales and zeros of INT4 to one byte each
// (Options.Metadata becomes compact), and every parameter that is not quantised, and the smoothing factors, to half
// precision, except what that does not hold (graph.HoldsHalf), which stays as it is. Converting twice changes nothing more.
// The 7-level quantiser has no packed form.
func (q *Quantised) Convert() error {
	quantised := map[*graph.Param]bool{}
	for _, w := range q.Weights {
		if w.Scheme == Scheme7Level {
			return fmt.Errorf("weight %s has 7 levels (ssm_quantiser %s), which 2 bits cannot hold: only %s can be packed", w.Param.Name, Paper7, SEQ2Bit)
		}
		quantised[w.Param] = true
	}
	for _, w := range q.Weights {
		if w.LogStep != nil {
			if err := w.halveSteps(); err != nil {
				return err
			}
		}
		if w.Scheme == SchemeInt4 {
			w.Compact = true
		}
	}
	q.Options.Metadata = MetadataCompact
	for _, p := range q.Model.Params.All() {
		if !quantised[p] {
			halve(p.Data(), graph.HoldsHalf)
		}
	}
	for _, p := range q.smooth {
		halve(p.Data(), graph.HoldsEachHalf)
	}
	return nil
}

// halveSteps rounds the 2-bit steps to half precision, those of small channels up to the least that a file holds.
func (w *Weight) halveSteps() error {
	if most := math.Exp(float64(slices.Max(w.LogStep.Data()))); most < graph.LeastHalfStep {
		return fmt.Errorf("weight %s: the largest of its 2-bit steps is %.3g, and a packed file holds steps from %.2g on; leave out target %s",
			w.Param.Name, most, graph.LeastHalfStep, w.Target)
	}
	for i, l := range w.LogStep.Data() {
		w.LogStep.Data()[i] = graph.HalfLogStep(l)
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

// PackedFile converts the model and gives its packed file (FORMAT.md).
func (q *Quantised) PackedFile() (*safetensors.File, error) {
	if len(q.Weights) == 0 {
		return nil, fmt.Errorf("targets %s quantise no weights, only what is computed from them: there is nothing to pack; add a target such as %s", join(q.Options.Targets), SSM)
	}
	if err := finite(q.Model); err != nil {
		return nil, err
	}
	if err := q.Convert(); err != nil {
		return nil, err
	}
	packed := make(map[string]*graph.Packed, len(q.Weights))
	for _, w := range q.Weights {
		p, err := w.pack()
		if err != nil {
			return nil, fmt.Errorf("weight %s: %w", w.Param.Name, err)
		}
		packed[w.Param.Name] = p
	}
	return q.Model.PackedFile(packed)
}

// pack gives the packed form of a converted weight.
func (w *Weight) pack() (*graph.Packed, error) {
	switch shape := w.Param.Shape(); w.Scheme {
	case Scheme2Bit:
		return graph.PackSEQ2(w.Param.Data(), shape, w.LogStep.Data())
	case SchemeInt8:
		p, err := graph.PackInt8(w.Param.Data(), shape)
		if err != nil {
			return nil, fmt.Errorf("%w (export --%s-bits 4)", err, w.Target)
		}
		return p, nil
	case SchemeInt4:
		return graph.PackInt4(w.Merged(), shape, graph.Int4Compact{Group: w.Group, Salient: w.Salient})
	default:
		return nil, fmt.Errorf("scheme %s has no packed form", w.Scheme)
	}
}

// ErrNotPacked is Inspect's error for a file in floating point.
var ErrNotPacked = errors.New("the model is not packed: its weights are in floating point; make a packed one with export")

// HasQuantisers says whether a file is a model with its quantisers in floating point (Quantised.Save), for FromFile.
func HasQuantisers(f *safetensors.File) bool {
	_, ok := f.Metadata[quantisedKey]
	return ok
}
