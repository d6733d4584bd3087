package layers

import "github.com/synapnet/synapnet-train/graph"

// Linear is y = act(x Wᵀ + b), x [..., in] to y [..., out].
type Linear struct {
	W *graph.Param // [out, in], N(0, 0.02²); nil if the weight is packed
	B *graph.Param // [out], zeros; nil without bias

	// FakeQuant, if set, stands between the stored weight and its use: quantisation-aware training puts a
	// straight-through quantiser here.
	FakeQuant FakeQuant

	// Packed, if set, is the weight in packed form, in place of W.
	Packed *graph.Packed
}

// FakeQuant maps a weight's node to that of its quantised and dequantised value, of the same shape.
type FakeQuant func(g *graph.Graph, w *graph.Node) *graph.Node

// through is the node of w as the layer uses it.
func (q FakeQuant) through(g *graph.Graph, w *graph.Param) *graph.Node {
	if q == nil {
		return g.Param(w)
	}
	return q(g, g.Param(w))
}

// NewLinear registers name.weight and, with bias, name.bias.
func NewLinear(ps *Params, name string, in, out int, bias bool) *Linear {
	l := &Linear{W: ps.Normal(name+".weight", out, in), Packed: ps.packed[name+".weight"]}
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
	if l.Packed != nil {
		return graph.LinearPacked(g, x, l.Packed, b, act)
	}
	return graph.Linear(g, x, l.FakeQuant.through(g, l.W), b, act)
}
