package qat

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
)

// Scheme is how a weight is quantised.
type Scheme string

// The schemes of weights.
const (
	Scheme2Bit   Scheme = "seq2bit" // 4 levels, learned step per output channel
	Scheme7Level Scheme = "paper7"  // 7 levels, otherwise the same
	SchemeInt4   Scheme = "int4"    // groups along the inputs
	SchemeInt8   Scheme = "int8"    // rows, FP16 scale
)

// Weight is one quantised weight of a model.
type Weight struct {
	Target Target
	Scheme Scheme
	Param  *graph.Param // the floating-point weight behind the quantiser, [out, ...]

	// 2-bit schemes: log step sizes, [out], and what they began as.
	LogStep, InitLogStep *graph.Param

	// INT4: the columns in floating point, ascending; Columns holds them, [out, len(Salient)], if the rest is frozen,
	// and is nil otherwise: then they are in Param.
	Group   int
	Compact bool // metadata of one byte each
	Salient []int
	Columns *graph.Param
}

// fakeQuant is the node of the weight's quantised and dequantised value. Every step of quantisation is one of package
// graph's, so that packing gives the same bits.
func (w *Weight) fakeQuant(g *graph.Graph, n *graph.Node) *graph.Node {
	switch w.Scheme {
	case Scheme2Bit:
		return graph.FakeQuant2Bit(g, n, g.Param(w.LogStep))
	case Scheme7Level:
		return graph.FakeQuant7Level(g, n, g.Param(w.LogStep))
	case SchemeInt8:
		return graph.FakeQuantInt8(g, n)
	}
	if w.Columns == nil {
		return w.int4(g, n, w.Salient)
	}
	return graph.AddColumns(g, w.int4(g, n, w.Salient), w.half(g, g.Param(w.Columns)), w.Salient)
}

func (w *Weight) int4(g *graph.Graph, n *graph.Node, salient []int) *graph.Node {
	if w.Compact {
		return graph.FakeQuantInt4Compact(g, n, graph.Int4Compact{Group: w.Group, Salient: salient})
	}
	return graph.FakeQuantInt4Salient(g, n, w.Group, salient)
}

// half rounds columns to half precision, as the compact form holds them: it does so with all of its salient columns.
func (w *Weight) half(g *graph.Graph, columns *graph.Node) *graph.Node {
	if !w.Compact {
		return columns
	}
	all := make([]int, len(w.Salient))
	for i := range all {
		all[i] = i
	}
	return w.int4(g, columns, all)
}

// Merged is the floating-point weight with its salient columns, wherever they are kept: what a packed file is made from.
func (w *Weight) Merged() []float32 {
	merged := append([]float32(nil), w.Param.Data()...)
	if w.Columns != nil {
		w.scatter(merged, func(row, k int) float32 { return w.Columns.Data()[row*len(w.Salient)+k] })
	}
	return merged
}

// Int4 is the weight in integers, salient columns as 0, with float32 metadata (SPEC section 4).
func (w *Weight) Int4() (graph.Int4, error) {
	if w.Scheme != SchemeInt4 {
		return graph.Int4{}, fmt.Errorf("weight %s is quantised as %s, not %s", w.Param.Name, w.Scheme, SchemeInt4)
	}
	rest := append([]float32(nil), w.Param.Data()...)
	w.scatter(rest, func(int, int) float32 { return 0 })
	return graph.QuantizeInt4(rest, w.cols(), w.Group)
}

// scatter sets the salient columns of data.
func (w *Weight) scatter(data []float32, value func(row, k int) float32) {
	cols := w.cols()
	for row := range len(data) / cols {
		for k, j := range w.Salient {
			data[row*cols+j] = value(row, k)
		}
	}
}

func (w *Weight) cols() int {
	shape := w.Param.Shape()
	return shape[len(shape)-1]
}
