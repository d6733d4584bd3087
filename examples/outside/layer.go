package main

import (
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// tokenShift is a layer through which a token sees the one before it, y[t] = sigmoid(G x[t]) ⊙ W x[t-1], with x[-1] =
// x[0]: a gated form of the token shift of RWKV. block_layers = ["token_shift"] puts it into every block of a SynapNet.
// It is not RowWise: for the last row of its result it needs two rows of x.
var tokenShift = layers.LayerSpec{
	Name: "token_shift", Doc: "sigmoid(G x[t]) ⊙ W x[t-1]", Source: "after Peng et al., RWKV (2023)",
	New: func(ps *layers.Params, name string, c layers.Config) layers.Layer {
		return &shift{
			gate:   layers.NewLinear(ps, name+".gate", c.Dim, c.Dim, true),
			before: layers.NewLinear(ps, name+".before", c.Dim, c.Dim, false),
		}
	},
}

type shift struct{ gate, before *layers.Linear }

// Forward maps x [B, T, D] to [B, T, D].
func (l *shift) Forward(g *graph.Graph, x *graph.Node) *graph.Node {
	shifted := graph.SliceRows(g, x, 0, 1)
	if t := graph.Shape(x)[1]; t > 1 {
		shifted = graph.ConcatRows(g, shifted, graph.SliceRows(g, x, 0, t-1))
	}
	return graph.Product(g, l.gate.Forward(g, x, graph.Sigmoid), l.before.Forward(g, shifted, graph.Identity))
}
