package layers

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
)

// llamaArchitecture is the dense-attention baseline, the reference's Llama proxy (SPEC section 7, Baselines): RMSNorm,
// causal attention, SwiGLU of width floor(2.67 D), learned positions, no biases, a final RMSNorm.
var llamaArchitecture = architecture{
	name: Llama, about: "dense causal attention, RMSNorm, SwiGLU (Llama proxy)",
	block: func(ps *Params, i int, c Config) BaselineBlock { return NewLlamaBlock(ps, i, c) },
	uses:  append(causalUses("attn."), use{"ffn.", FeedForwardComponent, wantedRows}, use{"norm", NormsComponent, nil}),
	products: func(c Config, _ int, n rowCounts, of func(component string) *Cost) {
		of(AttentionComponent).attendCausally(n, c.Dim)
	},
	causal: true, rmsNorm: true, headBiasless: true,
	mlpRatio: 2.67, deeper: 1,
}

// LlamaBlock is x ← x + attention(RMSNorm(x)), then x ← x + SwiGLU(RMSNorm(x)).
type LlamaBlock struct {
	Norm1     *RMSNorm
	Attention *CausalAttention
	Norm2     *RMSNorm
	FFN       *SwiGLU
}

// NewLlamaBlock registers block i of a model of configuration c.
func NewLlamaBlock(ps *Params, i int, c Config) *LlamaBlock {
	name := fmt.Sprintf("blocks.%d", i)
	return &LlamaBlock{
		Norm1:     NewRMSNorm(ps, name+".norm1", c.Dim),
		Attention: NewCausalAttention(ps, name+".attn", c.Dim, c.Heads),
		Norm2:     NewRMSNorm(ps, name+".norm2", c.Dim),
		FFN:       NewSwiGLU(ps, name+".ffn", c.Dim, c.hidden()),
	}
}

// Forward maps x [B, T, D] through the block, see BaselineBlock.
func (b *LlamaBlock) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	n := b.Norm1.Forward(g, x)
	x = graph.Sum(g, wanted(g, x, last), b.Attention.Forward(g, n, wanted(g, n, last)))
	return graph.Sum(g, x, b.FFN.Forward(g, b.Norm2.Forward(g, x)))
}
