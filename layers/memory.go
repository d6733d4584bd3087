package layers

import "github.com/synapnet/synapnet-train/graph"

// EpisodicMemory writes the most salient tokens to slots and lets every token read them (SPEC section 1, 3):
//
//	bank = the max(1, floor(f·T)) most salient rows of n, the first S of them, zero padded to S
//	read = softmax(q(n) k(bank)ᵀ / sqrt(D)) v(bank), then an output projection
//
// External memory, if any, is prepended to the bank that is read.
type EpisodicMemory struct {
	Key, Val, Query, Out *Linear

	Slots     int
	WriteFrac float64

	// EntryQuant, if set, is the fake-quant node of the bank that is read (INT8 per entry in CAJQ).
	EntryQuant func(g *graph.Graph, bank *graph.Node) *graph.Node
}

// NewEpisodicMemory registers name.key_proj, val_proj, query_proj (no bias) and out_proj.
func NewEpisodicMemory(ps *Params, name string, dim, slots int, writeFrac float64) *EpisodicMemory {
	return &EpisodicMemory{
		Key:       NewLinear(ps, name+".key_proj", dim, dim, false),
		Val:       NewLinear(ps, name+".val_proj", dim, dim, false),
		Query:     NewLinear(ps, name+".query_proj", dim, dim, false),
		Out:       NewLinear(ps, name+".out_proj", dim, dim, true),
		Slots:     slots,
		WriteFrac: writeFrac,
	}
}

// Writes is the number of the T tokens that are written, before the limit of S slots.
func (l *EpisodicMemory) Writes(t int) int { return fraction(l.WriteFrac, t) }

// Write is the fresh bank [B, S, D]: the rows of n at the first positions of top (int32 [B, ≥ Writes]).
func (l *EpisodicMemory) Write(g *graph.Graph, n, top *graph.Node) *graph.Node {
	return graph.Gather(g, n, top, min(l.Writes(graph.Shape(n)[1]), l.Slots), l.Slots)
}

// Read attends from n [B, Q, D] to the external memory [B, E, D] (nil: none) followed by the fresh bank [B, S, D].
func (l *EpisodicMemory) Read(g *graph.Graph, n, external, fresh *graph.Node) *graph.Node {
	bank := fresh
	if external != nil {
		bank = graph.ConcatRows(g, external, fresh)
	}
	if l.EntryQuant != nil {
		bank = l.EntryQuant(g, bank)
	}
	y := graph.Attention(g,
		l.Query.Forward(g, n, graph.Identity),
		l.Key.Forward(g, bank, graph.Identity),
		l.Val.Forward(g, bank, graph.Identity), nil, 1)
	return l.Out.Forward(g, y, graph.Identity)
}
