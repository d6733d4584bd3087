package layers

import "github.com/synapnet/synapnet-train/graph"

// KernelSize is the width in tokens of the SSM's temporal convolution.
const KernelSize = 9

// SSM is the local pathway s = n + sigmoid(n Wgᵀ + bg) ⊙ dwconv(n): a depthwise convolution over time, kernel 9, zero
// padding 4, not causal, behind a gate (SPEC section 1, 1).
type SSM struct {
	Conv  *graph.Param // [D, 1, 9], uniform ±1/3; nil if the weight is packed
	ConvB *graph.Param // [D], uniform ±1/3
	Gate  *Linear

	// ConvQuant, if set, is the fake-quant node of the convolution weight.
	ConvQuant FakeQuant

	// ConvPacked, if set, is the convolution weight in packed form, in place of Conv.
	ConvPacked *graph.Packed
}

// NewSSM registers name.dwconv and name.gate.
func NewSSM(ps *Params, name string, dim int) *SSM {
	return &SSM{
		Conv:  ps.Uniform(name+".dwconv.weight", KernelSize, dim, 1, KernelSize),
		ConvB: ps.Uniform(name+".dwconv.bias", KernelSize, dim),
		Gate:  NewLinear(ps, name+".gate", dim, dim, true),

		ConvPacked: ps.packed[name+".dwconv.weight"],
	}
}

// Forward maps n [B, T, D] to s [B, T, D].
func (l *SSM) Forward(g *graph.Graph, n *graph.Node) *graph.Node {
	gate := l.Gate.Forward(g, n, graph.Sigmoid)
	if l.ConvPacked != nil {
		return graph.GatedConvPacked(g, n, gate, l.ConvPacked, g.Param(l.ConvB))
	}
	return graph.GatedConv(g, n, gate, l.ConvQuant.through(g, l.Conv), g.Param(l.ConvB))
}

// ForwardLast is the last row of Forward, [B, 1, D], at the cost of that row.
func (l *SSM) ForwardLast(g *graph.Graph, n *graph.Node) *graph.Node {
	t := graph.Shape(n)[1]
	window := min(t, KernelSize/2+1) // the convolution at T-1 sees no more
	s := l.Forward(g, graph.SliceRows(g, n, t-window, window))
	return graph.SliceRows(g, s, window-1, 1)
}
