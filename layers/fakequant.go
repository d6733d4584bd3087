package layers

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// FakeQuant is the quantiser that a weight is trained through, with its own parameters.
type FakeQuant struct {
	Scheme   *scheme.Scheme
	Settings scheme.Settings

	// Log step sizes of a scheme with steps, one a row, and what they began as, which does not train; nil without.
	LogStep, InitLogStep *graph.Param

	// Columns are the salient columns [rows, len(Settings.Salient)] if the rest of the weight is frozen: there they are 0.
	// Otherwise they are in the weight and Columns is nil.
	Columns *graph.Param
}

// node is the quantised and dequantised value of w.
func (f *FakeQuant) node(g *graph.Graph, w *graph.Node) *graph.Node {
	var steps *graph.Node
	if f.LogStep != nil {
		steps = g.Param(f.LogStep)
	}
	y := f.Scheme.Fake(g, w, steps, f.Settings)
	if f.Columns == nil {
		return y
	}
	columns := g.Param(f.Columns)
	if f.Scheme.Columns != nil {
		columns = f.Scheme.Columns(g, columns, f.Settings)
	}
	return graph.AddColumns(g, y, columns, f.Settings.Salient)
}

// Merged is the floating-point weight with its salient columns, wherever they are kept: what a packed file is made
// from.
func (w *Weight) Merged() []float32 {
	merged := slices.Clone(w.Param.Data())
	if w.Fake != nil && w.Fake.Columns != nil {
		k := len(w.Fake.Settings.Salient)
		w.ScatterSalient(merged, func(row, i int) float32 { return w.Fake.Columns.Data()[row*k+i] })
	}
	return merged
}

// ScatterSalient sets the salient columns of data, which is shaped as the weight, from their row and number.
func (w *Weight) ScatterSalient(data []float32, value func(row, i int) float32) {
	cols := w.Shape[len(w.Shape)-1]
	for row := range len(data) / cols {
		for i, j := range w.Fake.Settings.Salient {
			data[row*cols+j] = value(row, i)
		}
	}
}

// Pack gives the packed form of a weight behind a quantiser, which it does not change: steps are rounded to what a file
// holds.
func (w *Weight) Pack() (*scheme.Packed, error) {
	if w.Fake == nil {
		return nil, fmt.Errorf("it has no quantiser")
	}
	of, steps, err := w.Fake.stored()
	if err != nil {
		return nil, err
	}
	return scheme.Pack(scheme.Spec{Scheme: of.Name, Shape: w.Shape, Settings: w.Fake.Settings}, w.Merged(), steps)
}

// Convert makes the simulation what the packed form holds.
func (w *Weight) Convert() error {
	of, steps, err := w.Fake.stored()
	if err != nil {
		return err
	}
	if w.Fake.Scheme = of; steps != nil {
		copy(w.Fake.LogStep.Data(), steps)
	}
	return nil
}

// stored gives the scheme of the packed form, and the log steps as it holds them.
func (f *FakeQuant) stored() (of *scheme.Scheme, steps []float32, err error) {
	if of, err = f.Scheme.PackedForm(); err == nil && f.LogStep != nil {
		steps, err = f.Scheme.Steps.Stored(f.LogStep.Data())
	}
	return of, steps, err
}
