package layers

import "github.com/synapnet/synapnet-train/graph"

// emLLM is the baseline with an episodic memory, the reference's EM-LLM (SPEC section 7, Baselines): attention
// that is not causal, and a memory of the tokens that received the most of it, the top tenth of them, at most
// EpisodicSlots. The reference's norm_mem, which it never reads, is left out.
var emLLM = ArchitectureSpec{
	Name: string(EMLLM), Doc: "dense attention and a memory of the most attended tokens (EM-LLM)", Source: baselineSource,
	Block: func(ps *Params, name string, _ int, c Config) Block { return NewEMLLMBlock(ps, name, c) },
	Uses: []Use{
		{Prefix: "to_out.", Component: AttentionComponent, Rows: WantedRows},
		{Prefix: "to_", Component: AttentionComponent, Rows: EveryToken},
		{Prefix: "mem.to_k.", Component: MemoryComponent, Rows: MemorySlots},
		{Prefix: "mem.to_v.", Component: MemoryComponent, Rows: MemorySlots},
		{Prefix: "mem.", Component: MemoryComponent, Rows: WantedRows},
		{Prefix: "mem_gate.", Component: GatesComponent, Rows: WantedRows},
		{Prefix: "ff.", Component: FeedForwardComponent, Rows: WantedRows}, {Prefix: "norm", Component: NormsComponent},
	},
	Products: func(c Config, _ int, n RowCounts, of func(component string) *Cost) {
		of(AttentionComponent).Attend(n.Wanted, n.Tokens, c.Dim)
		of(AttentionComponent).Product(n.Tokens, c.Dim, n.Tokens, false) // what every token received
		of(MemoryComponent).Attend(n.Wanted, n.Slots, c.Dim)
	},
	SeesLater: "its attention and memory",
	MLPRatio:  4, WriteFraction: 0.1,
}

// EMLLMBlock is, with n = LayerNorm(x),
//
//	x ← x + attention(n) + sigmoid(gate(n)) ⊙ memory(n)
//	x ← x + W₂ GELU(W₁ LayerNorm(x)).
//
// The memory holds the rows of n that received the most attention, over all heads and queries, a constant to gradients;
// the rest of its slots are zero, and are read.
type EMLLMBlock struct {
	Norm1        *LayerNorm
	Q, K, V, Out *Linear
	Memory       *EpisodicMemory
	Gate         *Linear
	Norm2        *LayerNorm
	FF1, FF2     *Linear
	heads        int
}

// NewEMLLMBlock registers a block of a model of configuration c.
func NewEMLLMBlock(ps *Params, name string, c Config) *EMLLMBlock {
	linear := func(part string, bias bool) *Linear { return NewLinear(ps, name+part, c.Dim, c.Dim, bias) }
	return &EMLLMBlock{
		Norm1: NewLayerNorm(ps, name+".norm1", c.Dim),
		Norm2: NewLayerNorm(ps, name+".norm2", c.Dim),
		Q:     linear(".to_q", false),
		K:     linear(".to_k", false),
		V:     linear(".to_v", false),
		Out:   linear(".to_out", true),
		Memory: &EpisodicMemory{
			Query: linear(".mem.to_q", false), Key: linear(".mem.to_k", false), Val: linear(".mem.to_v", false),
			Out:   linear(".mem.out", true),
			Slots: c.EpisodicSlots, WriteFrac: c.EpisodicWriteFrac,
		},
		Gate:  linear(".mem_gate", true),
		FF1:   NewLinear(ps, name+".ff.0", c.Dim, c.Hidden(), true),
		FF2:   NewLinear(ps, name+".ff.2", c.Hidden(), c.Dim, true),
		heads: c.Heads,
	}
}

// Forward maps x [B, T, D] through the block, see Block. The queries of all tokens are needed even if only the last
// one is wanted: they decide what is in the memory.
func (b *EMLLMBlock) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	n := b.Norm1.Forward(g, x)
	row := Wanted(g, n, last)
	q, k, v := b.Q.Forward(g, n, graph.Identity), b.K.Forward(g, n, graph.Identity), b.V.Forward(g, n, graph.Identity)
	attended := b.Out.Forward(g, graph.Attention(g, Wanted(g, q, last), k, v, nil, b.heads), graph.Identity)

	top := graph.TopK(g, graph.AttentionReceived(g, q, k, b.heads), b.Memory.Writes(graph.Shape(n)[1]))
	read := b.Memory.Read(g, row, nil, b.Memory.Write(g, n, top)).Y
	x = graph.Sum(g, Wanted(g, x, last), attended, graph.Product(g, b.Gate.Forward(g, row, graph.Sigmoid), read))

	hidden := b.FF1.Forward(g, b.Norm2.Forward(g, x), graph.GELU)
	return graph.Sum(g, x, b.FF2.Forward(g, hidden, graph.Identity))
}
