package layers

import (
	"math"
	"math/rand/v2"

	"github.com/synapnet/synapnet-train/graph"
)

// GRU is a gated recurrent unit of width D over the whole sequence, see graph.GRU. Its parameters are those of
// PyTorch's, gates in the order r, z, n. They are never packed or quantised.
type GRU struct {
	InputW, HiddenW *graph.Param // [3D, D], name.weight_ih_l0 and weight_hh_l0, uniform ±1/sqrt(D)
	InputB, HiddenB *graph.Param // [3D], name.bias_ih_l0 and bias_hh_l0, uniform ±1/sqrt(D)
}

// NewGRU registers the parameters.
func NewGRU(ps *Params, name string, dim int) *GRU {
	uniform := func(name string, shape ...int) *graph.Param {
		return ps.Drawn(name, func(r *rand.Rand) float64 { return (2*r.Float64() - 1) / math.Sqrt(float64(dim)) }, shape...)
	}
	return &GRU{
		InputW:  uniform(name+".weight_ih_l0", 3*dim, dim),
		HiddenW: uniform(name+".weight_hh_l0", 3*dim, dim),
		InputB:  uniform(name+".bias_ih_l0", 3*dim),
		HiddenB: uniform(name+".bias_hh_l0", 3*dim),
	}
}

// Forward gives the states h [B, T, D] for x [B, T, D].
func (l *GRU) Forward(g *graph.Graph, x *graph.Node) *graph.Node {
	projected := graph.Linear(g, x, g.Param(l.InputW), g.Param(l.InputB), graph.Identity)
	return graph.GRU(g, projected, g.Param(l.HiddenW), g.Param(l.HiddenB))
}

// GatedGRU is the recurrent mixer GRU(n) ⊙ sigmoid(gate(n)).
type GatedGRU struct {
	GRU  *GRU
	Gate *Linear
}

// NewGatedGRU registers name.gru and name.gate.
func NewGatedGRU(ps *Params, name string, dim int) *GatedGRU {
	return &GatedGRU{GRU: NewGRU(ps, name+".gru", dim), Gate: NewLinear(ps, name+".gate", dim, dim, true)}
}

// Forward mixes n [B, T, D]; with last, it gives the last row only, for which the GRU runs over all.
func (l *GatedGRU) Forward(g *graph.Graph, n *graph.Node, last bool) *graph.Node {
	return graph.Product(g, Wanted(g, l.GRU.Forward(g, n), last), l.Gate.Forward(g, Wanted(g, n, last), graph.Sigmoid))
}

// gatedGRUUses are those of a GatedGRU of a block.
var gatedGRUUses = []Use{
	{Prefix: "gru.", Component: SSMComponent}, {Prefix: "gate.", Component: GatesComponent, Rows: WantedRows},
}

// recur adds the products of a GRU, whose weights are no Matrix: of its input, and of every state but the first,
// which is zero.
func (k *Cost) recur(n RowCounts, dim int) {
	k.Product(n.Tokens, dim, 3*dim, true)
	k.Product(n.Tokens-1, dim, 3*dim, true)
}
