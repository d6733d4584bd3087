package layers

import (
	"slices"

	"github.com/synapnet/synapnet-train/graph"
)

// gruSSM is the recurrent baseline, the reference's Mamba-2 proxy (SPEC section 7, Baselines): a gated GRU and
// a GELU feed-forward of width 4 D. For a selective state space see mamba2.
var gruSSM = ArchitectureSpec{
	Name: string(GRUSSM), Doc: "gated GRU and GELU feed-forward (Mamba-2 proxy)", Source: baselineSource,
	Block: func(ps *Params, name string, _ int, c Config) Block { return NewGRUSSMBlock(ps, name, c) },
	Uses: slices.Concat(gatedGRUUses, []Use{
		{Prefix: "ff.0.", Component: NormsComponent}, {Prefix: "ff.", Component: FeedForwardComponent, Rows: WantedRows},
		{Prefix: "norm", Component: NormsComponent},
	}),
	Products: func(c Config, _ int, n RowCounts, of func(component string) *Cost) {
		of(SSMComponent).recur(n, c.Dim)
	},
	Causal:   true,
	MLPRatio: 4,
}

// GRUSSMBlock is x ← x + GRU(n) ⊙ sigmoid(gate(n)) with n = LayerNorm(x), then x ← x + W₂ GELU(W₁ LayerNorm(x)).
type GRUSSMBlock struct {
	Norm     *LayerNorm
	Mixer    *GatedGRU
	FFNorm   *LayerNorm
	FF1, FF2 *Linear
}

// NewGRUSSMBlock registers a block of a model of configuration c.
func NewGRUSSMBlock(ps *Params, name string, c Config) *GRUSSMBlock {
	return &GRUSSMBlock{
		Norm:   NewLayerNorm(ps, name+".norm", c.Dim),
		Mixer:  NewGatedGRU(ps, name, c.Dim),
		FFNorm: NewLayerNorm(ps, name+".ff.0", c.Dim),
		FF1:    NewLinear(ps, name+".ff.1", c.Dim, c.Hidden(), true),
		FF2:    NewLinear(ps, name+".ff.3", c.Hidden(), c.Dim, true),
	}
}

// Forward maps x [B, T, D] through the block, see Block.
func (b *GRUSSMBlock) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	x = graph.Sum(g, Wanted(g, x, last), b.Mixer.Forward(g, b.Norm.Forward(g, x), last))
	hidden := b.FF1.Forward(g, b.FFNorm.Forward(g, x), graph.GELU)
	return graph.Sum(g, x, b.FF2.Forward(g, hidden, graph.Identity))
}
