package layers

import "github.com/synapnet/synapnet-train/graph"

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
