package layers

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
)

// emLLMArchitecture is the baseline with an episodic memory, the reference's EM-LLM (SPEC section 7, Baselines): attention
// that is not causal, and a memory of the tokens that received the most of it, the top tenth of them, at most
// EpisodicSlots. The reference's norm_mem, which it never reads, is left out.
var emLLMArchitecture = architecture{
	name: EMLLM, about: "dense attention and a memory of the most attended tokens (EM-LLM)",
	block: func(ps *Params, i int, c Config) BaselineBlock { return NewEMLLMBlock(ps, i, c) },
	uses: []use{
		{"to_out.", AttentionComponent, wantedRows}, {"to_", AttentionComponent, everyToken},
		{"mem.to_k.", MemoryComponent, memorySlots}, {"mem.to_v.", MemoryComponent, memorySlots},
		{"mem.", MemoryComponent, wantedRows},
		{"mem_gate.", GatesComponent, wantedRows}, {"ff.", FeedForwardComponent, wantedRows}, {"norm", NormsComponent, nil},
	},
	products: func(c Config, _ int, n rowCounts, of func(component string) *Cost) {
		of(AttentionComponent).attend(n.wanted, n.tokens, c.Dim)
		of(AttentionComponent).product(n.tokens, c.Dim, n.tokens, false) // what every token received
		of(MemoryComponent).attend(n.wanted, n.slots, c.Dim)
	},
	mlpRatio: 4, writeFrac: 0.1, deeper: 1,
	seesLater: "its attention and memory",
}

// EMLLMBlock is, with n = LayerNorm(x),
//
//	x ← x + attention(n) + sigmoid(gate(n)) ⊙ memory(n)
//	x ← x + W₂ GELU(W₁ LayerNorm(x)).
//
// The memory holds the rows of n that received the most attention, over all heads and queries, a constant to gradients; the
// rest of its slots are zero, and are read.
type EMLLMBlock struct {
	Norm1        *LayerNorm
	Q, K, V, Out *Linear
	Memory       *EpisodicMemory
	Gate         *Linear
	Norm2        *LayerNorm
	FF1, FF2     *Linear
	heads        int
}

// NewEMLLMBlock registers block i of a model of configuration c.
func NewEMLLMBlock(ps *Params, i int, c Config) *EMLLMBlock {
	name := fmt.Sprintf("blocks.%d", i)
	linear := func(part string, bias bool) *Linear { return NewLinear(ps, name+part, c.Dim, c.Dim, bias) }
	return &EMLLMBlock{
		Norm1: NewLayerNorm(ps, name+".norm1", c.Dim),
		Norm2: NewLayerNorm(ps, name+".norm2", c.Dim),
		Q:     linear(".to_q", false),
		K:     linear(".to_k", false),
		V:     linear(".to_v", false),
		Out:   linear(".to_out", true),
		Memory: &EpisodicMemory{
			Query: linear(".mem.to_q", false), Key: linear(".mem.to_k", false), Val: linear(".mem.to_v", false), Out: linear(".mem.out", true),
			Slots: c.EpisodicSlots, WriteFrac: c.EpisodicWriteFrac,
		},
		Gate:  linear(".mem_gate", true),
		FF1:   NewLinear(ps, name+".ff.0", c.Dim, c.hidden(), true),
		FF2:   NewLinear(ps, name+".ff.2", c.hidden(), c.Dim, true),
		heads: c.Heads,
	}
}

// Forward maps x [B, T, D] through the block, see BaselineBlock. The queries of all tokens are needed even if only the last
// one is wanted: they decide what is in the memory.
func (b *EMLLMBlock) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	n := b.Norm1.Forward(g, x)
	row := wanted(g, n, last)
	q, k, v := b.Q.Forward(g, n, graph.Identity), b.K.Forward(g, n, graph.Identity), b.V.Forward(g, n, graph.Identity)
	attended := b.Out.Forward(g, graph.Attention(g, wanted(g, q, last), k, v, nil, b.heads), graph.Identity)

	top := graph.TopK(g, graph.AttentionReceived(g, q, k, b.heads), b.Memory.Writes(graph.Shape(n)[1]))
	read := b.Memory.Read(g, row, nil, b.Memory.Write(g, n, top)).Y
	x = graph.Sum(g, wanted(g, x, last), attended, graph.Product(g, b.Gate.Forward(g, row, graph.Sigmoid), read))

	hidden := b.FF1.Forward(g, b.Norm2.Forward(g, x), graph.GELU)
	return graph.Sum(g, x, b.FF2.Forward(g, hidden, graph.Identity))
}
