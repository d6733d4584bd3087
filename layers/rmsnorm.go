package layers

import "github.com/synapnet/synapnet-train/graph"

// RMSNorm is y = x / sqrt(mean(x²) + 1e-6) ⊙ s over the last dimension.
type RMSNorm struct {
	Scale *graph.Param // [D], name.scale, ones
}

// NewRMSNorm registers name.scale.
func NewRMSNorm(ps *Params, name string, dim int) *RMSNorm {
	return &RMSNorm{Scale: ps.Ones(name+".scale", dim)}
}

// Forward normalises x [..., D].
func (l *RMSNorm) Forward(g *graph.Graph, x *graph.Node) *graph.Node {
	return graph.RMSNorm(g, x, g.Param(l.Scale))
}
