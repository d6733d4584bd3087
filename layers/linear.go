package layers

import "github.com/synapnet/synapnet-train/graph"

// Linear is y = act(x Wᵀ + b), x [..., in] to y [..., out].
type Linear struct {
	W *Weight      // [out, in], N(0, 0.02²)
	B *graph.Param // [out], zeros; nil without bias
}

// NewLinear registers name.weight and, with bias, name.bias.
func NewLinear(ps *Params, name string, in, out int, bias bool) *Linear {
	l := &Linear{W: NewWeight(ps, name+".weight", Matrix, ps.Normal, out, in)}
	if bias {
		l.B = ps.Zeros(name+".bias", out)
	}
	return l
}

// Forward adds the layer to g with the given activation.
func (l *Linear) Forward(g *graph.Graph, x *graph.Node, act graph.Activation) *graph.Node {
	var b *graph.Node
	if l.B != nil {
		b = g.Param(l.B)
	}
	return l.W.Linear(g, x, b, act)
}
