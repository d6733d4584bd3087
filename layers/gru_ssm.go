package layers

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
)

// gruSSMArchitecture is the recurrent baseline, the reference's Mamba-2 proxy (SPEC section 7, Baselines): a gated GRU and
// a GELU feed-forward of width 4 D. For a selective state space see mamba2Architecture.
var gruSSMArchitecture = architecture{
	name: GRUSSM, about: "gated GRU and GELU feed-forward (Mamba-2 proxy)",
	block: func(ps *Params, i int, c Config) BaselineBlock { return NewGRUSSMBlock(ps, i, c) },
	uses: append(gatedGRUUses(), use{"ff.0.", NormsComponent, nil}, use{"ff.", FeedForwardComponent, wantedRows},
		use{"norm", NormsComponent, nil}),
	products: func(c Config, _ int, n rowCounts, of func(component string) *Cost) {
		of(SSMComponent).recur(n, c.Dim)
	},
	causal:   true,
	mlpRatio: 4, deeper: 1,
}

// GRUSSMBlock is x ← x + GRU(n) ⊙ sigmoid(gate(n)) with n = LayerNorm(x), then x ← x + W₂ GELU(W₁ LayerNorm(x)).
type GRUSSMBlock struct {
	Norm     *LayerNorm
	Mixer    *GatedGRU
	FFNorm   *LayerNorm
	FF1, FF2 *Linear
}

// NewGRUSSMBlock registers block i of a model of configuration c.
func NewGRUSSMBlock(ps *Params, i int, c Config) *GRUSSMBlock {
	name := fmt.Sprintf("blocks.%d", i)
	return &GRUSSMBlock{
		Norm:   NewLayerNorm(ps, name+".norm", c.Dim),
		Mixer:  NewGatedGRU(ps, name, c.Dim),
		FFNorm: NewLayerNorm(ps, name+".ff.0", c.Dim),
		FF1:    NewLinear(ps, name+".ff.1", c.Dim, c.hidden(), true),
		FF2:    NewLinear(ps, name+".ff.3", c.hidden(), c.Dim, true),
	}
}

// Forward maps x [B, T, D] through the block, see BaselineBlock.
func (b *GRUSSMBlock) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	x = graph.Sum(g, wanted(g, x, last), b.Mixer.Forward(g, b.Norm.Forward(g, x), last))
	hidden := b.FF1.Forward(g, b.FFNorm.Forward(g, x), graph.GELU)
	return graph.Sum(g, x, b.FF2.Forward(g, hidden, graph.Identity))
}
