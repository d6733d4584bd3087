package layers

import (
	"slices"

	"github.com/synapnet/synapnet-train/graph"
)

// falconH1 is the hybrid baseline, the reference's Falcon-H1 and Hymba proxy (SPEC section 7, Baselines): the
// blocks with even numbers mix by a gated GRU, those with odd ones by causal attention; RMSNorm, SwiGLU of width 4 D.
var falconH1 = ArchitectureSpec{
	Name: string(FalconH1), Source: baselineSource,
	Doc:   "blocks of gated GRU and of causal attention in turn, SwiGLU (Falcon-H1 and Hymba proxy)",
	Block: func(ps *Params, name string, i int, c Config) Block { return NewFalconH1Block(ps, name, i, c) },
	Uses: slices.Concat(gatedGRUUses, causalAttentionUses("mixer."), []Use{
		{Prefix: "ffn.", Component: FeedForwardComponent, Rows: WantedRows}, {Prefix: "norm", Component: NormsComponent},
	}),
	Products: func(c Config, i int, n RowCounts, of func(component string) *Cost) {
		if i%2 == 0 {
			of(SSMComponent).recur(n, c.Dim)
		} else {
			of(AttentionComponent).attendCausally(n, c.Dim)
		}
	},
	Period: 2,
	Causal: true, RMSNorm: true,
	MLPRatio: 4,
}

// FalconH1Block is x ← x + mixer(RMSNorm(x)), then x ← x + SwiGLU(RMSNorm(x)).
type FalconH1Block struct {
	Norm      *RMSNorm
	Recurrent *GatedGRU        // the mixer of even blocks, nil in odd ones
	Attention *CausalAttention // that of odd ones, nil in even ones
	Norm2     *RMSNorm
	FFN       *SwiGLU
}

// NewFalconH1Block registers block i of a model of configuration c.
func NewFalconH1Block(ps *Params, name string, i int, c Config) *FalconH1Block {
	b := &FalconH1Block{Norm: NewRMSNorm(ps, name+".norm", c.Dim)}
	if i%2 == 0 {
		b.Recurrent = NewGatedGRU(ps, name, c.Dim)
	} else {
		b.Attention = NewCausalAttention(ps, name+".mixer", c.Dim, c.Heads)
	}
	b.Norm2 = NewRMSNorm(ps, name+".norm2", c.Dim)
	b.FFN = NewSwiGLU(ps, name+".ffn", c.Dim, c.Hidden())
	return b
}

// Forward maps x [B, T, D] through the block, see Block.
func (b *FalconH1Block) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	n := b.Norm.Forward(g, x)
	var mixed *graph.Node
	if b.Recurrent != nil {
		mixed = b.Recurrent.Forward(g, n, last)
	} else {
		mixed = b.Attention.Forward(g, n, Wanted(g, n, last))
	}
	x = graph.Sum(g, Wanted(g, x, last), mixed)
	return graph.Sum(g, x, b.FFN.Forward(g, b.Norm2.Forward(g, x)))
}
