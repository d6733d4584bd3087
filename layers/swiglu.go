package layers

import "github.com/synapnet/synapnet-train/graph"

// swiGLU is SwiGLU as a layer within SynapNet's blocks, as wide as their feed-forward.
var swiGLU = LayerSpec{
	Name: "swiglu", Doc: "gated feed-forward W_down (SiLU(W_gate x) ⊙ W_up x) of width mlp_ratio D",
	Source:  "Shazeer, GLU Variants Improve Transformer (2020)",
	New:     func(ps *Params, name string, c Config) Layer { return NewSwiGLU(ps, name, c.Dim, c.Hidden()) },
	RowWise: true,
}

// SwiGLU is the feed-forward y = W_down (SiLU(W_gate x) ⊙ W_up x), without biases (Shazeer 2020).
type SwiGLU struct {
	Gate, Up, Down *Linear
}

// NewSwiGLU registers name.gate, name.up and name.down.
func NewSwiGLU(ps *Params, name string, dim, hidden int) *SwiGLU {
	return &SwiGLU{
		Gate: NewLinear(ps, name+".gate", dim, hidden, false),
		Up:   NewLinear(ps, name+".up", dim, hidden, false),
		Down: NewLinear(ps, name+".down", hidden, dim, false),
	}
}

// Forward maps x [..., D] to [..., D].
func (l *SwiGLU) Forward(g *graph.Graph, x *graph.Node) *graph.Node {
	hidden := graph.Product(g, l.Gate.Forward(g, x, graph.SiLU), l.Up.Forward(g, x, graph.Identity))
	return l.Down.Forward(g, hidden, graph.Identity)
}
