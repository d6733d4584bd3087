package layers

import (
	"slices"

	"github.com/synapnet/synapnet-train/graph"
)

// llama is the dense-attention baseline, the reference's Llama proxy (SPEC section 7, Baselines): RMSNorm,
// causal attention, SwiGLU of width floor(2.67 D), learned positions, no biases, a final RMSNorm.
var llama = ArchitectureSpec{
	Name: string(Llama), Doc: "dense causal attention, RMSNorm, SwiGLU (Llama proxy)", Source: baselineSource,
	Block: func(ps *Params, name string, _ int, c Config) Block { return NewLlamaBlock(ps, name, c) },
	Uses: slices.Concat(causalAttentionUses("attn."), []Use{
		{Prefix: "ffn.", Component: FeedForwardComponent, Rows: WantedRows}, {Prefix: "norm", Component: NormsComponent},
	}),
	Products: func(c Config, _ int, n RowCounts, of func(component string) *Cost) {
		of(AttentionComponent).attendCausally(n, c.Dim)
	},
	Causal: true, RMSNorm: true, UnbiasedOut: true,
	MLPRatio: 2.67,
}

// LlamaBlock is x ← x + attention(RMSNorm(x)), then x ← x + SwiGLU(RMSNorm(x)).
type LlamaBlock struct {
	Norm1     *RMSNorm
	Attention *CausalAttention
	Norm2     *RMSNorm
	FFN       *SwiGLU
}

// NewLlamaBlock registers a block of a model of configuration c.
func NewLlamaBlock(ps *Params, name string, c Config) *LlamaBlock {
	return &LlamaBlock{
		Norm1:     NewRMSNorm(ps, name+".norm1", c.Dim),
		Attention: NewCausalAttention(ps, name+".attn", c.Dim, c.Heads),
		Norm2:     NewRMSNorm(ps, name+".norm2", c.Dim),
		FFN:       NewSwiGLU(ps, name+".ffn", c.Dim, c.Hidden()),
	}
}

// Forward maps x [B, T, D] through the block, see Block.
func (b *LlamaBlock) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	n := b.Norm1.Forward(g, x)
	x = graph.Sum(g, Wanted(g, x, last), b.Attention.Forward(g, n, Wanted(g, n, last)))
	return graph.Sum(g, x, b.FFN.Forward(g, b.Norm2.Forward(g, x)))
}
