package layers

import "github.com/synapnet/synapnet-train/graph"

// KernelSize is the width in tokens of the SSM's temporal convolution.
const KernelSize = 9

// SSM is the local pathway s = n + sigmoid(n Wgᵀ + bg) ⊙ dwconv(n): a depthwise convolution over time, kernel 9, zero
// padding 4, not causal, behind a gate (SPEC section 1, 1).
type SSM struct {
	Conv  *Weight      // [D, 1, 9], uniform ±1/3
	ConvB *graph.Param // [D], uniform ±1/3
	Gate  *Linear
}

// NewSSM registers name.dwconv and name.gate.
func NewSSM(ps *Params, name string, dim int) *SSM {
	uniform := func(name string, shape ...int) *graph.Param { return ps.Uniform(name, KernelSize, shape...) }
	return &SSM{
		Conv:  NewWeight(ps, name+".dwconv.weight", Convolution, uniform, dim, 1, KernelSize),
		ConvB: ps.Uniform(name+".dwconv.bias", KernelSize, dim),
		Gate:  NewLinear(ps, name+".gate", dim, dim, true),
	}
}

// Forward maps n [B, T, D] to s [B, T, D].
func (l *SSM) Forward(g *graph.Graph, n *graph.Node) *graph.Node {
	return l.Conv.GatedConv(g, n, l.Gate.Forward(g, n, graph.Sigmoid), g.Param(l.ConvB))
}

// ForwardLast is the last row of Forward, [B, 1, D], at the cost of that row.
func (l *SSM) ForwardLast(g *graph.Graph, n *graph.Node) *graph.Node {
	t := graph.Shape(n)[1]
	window := min(t, KernelSize/2+1) // the convolution at T-1 sees no more
	s := l.Forward(g, graph.SliceRows(g, n, t-window, window))
	return graph.SliceRows(g, s, window-1, 1)
}

// convolvedRows are those that the convolution of the wanted rows sees, of the rows before them.
func convolvedRows(n RowCounts) int { return min(n.Tokens, n.Wanted+KernelSize/2) }
