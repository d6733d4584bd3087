package layers

import "github.com/synapnet/synapnet-train/graph"

// LayerNorm is y = (x - mean) / sqrt(var + 1e-5) ⊙ γ + β over the last dimension.
type LayerNorm struct {
	Gamma *graph.Param // [D], name.weight, ones
	Beta  *graph.Param // [D], name.bias, zeros
}

// NewLayerNorm registers name.weight and name.bias.
func NewLayerNorm(ps *Params, name string, dim int) *LayerNorm {
	return &LayerNorm{Gamma: ps.Ones(name+".weight", dim), Beta: ps.Zeros(name+".bias", dim)}
}

// Forward normalises x [..., D].
func (l *LayerNorm) Forward(g *graph.Graph, x *graph.Node) *graph.Node {
	return graph.LayerNorm(g, x, g.Param(l.Gamma), g.Param(l.Beta))
}
