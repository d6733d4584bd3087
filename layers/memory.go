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

// EpisodicMemoryUses are those of an EpisodicMemory whose parameters' names in a block begin so ("epmem.").
func EpisodicMemoryUses(prefix string) []Use {
	return []Use{
		{Prefix: prefix + "key_proj.", Component: MemoryComponent, Rows: MemorySlots},
		{Prefix: prefix + "val_proj.", Component: MemoryComponent, Rows: MemorySlots},
		{Prefix: prefix, Component: MemoryComponent, Rows: WantedRows},
	}
}

// Writes is the number of the T tokens that are written, before the limit of S slots.
func (l *EpisodicMemory) Writes(t int) int { return fraction(l.WriteFrac, t) }

// Write is the fresh bank [B, S, D]: the rows of n at the first positions of top (int32 [B, ≥ Writes]).
func (l *EpisodicMemory) Write(g *graph.Graph, n, top *graph.Node) *graph.Node {
	return graph.Gather(g, n, top, min(l.Writes(graph.Shape(n)[1]), l.Slots), l.Slots)
}

// External is what a block reads besides its own fresh bank, and what it tells of the read.
type External struct {
	Bank  *graph.Node // memory from earlier chunks [B, E, D]; nil: none
	Valid *graph.Node // int32 [B], rows of Bank in use, the first ones; nil: all
	// Window, if above 0, asks for the attention received, with this many queries as the observation window.
	Window int
}

// Read is the result of reading a bank of K = E + S rows with Q queries. If rows of the external memory are not in use,
// the fresh ones follow directly behind those that are.
type Read struct {
	Y                     *graph.Node // what was read [B, Q, D]
	Queries, Keys, Values *graph.Node // the projections [B, Q, D] and [B, K, D]
	Received              *graph.Node // [B, 3, K], see graph.MemoryRead; nil unless asked for
}

// Read attends from n [B, Q, D] to the external memory (nil: none) followed by the fresh bank [B, S, D].
func (l *EpisodicMemory) Read(g *graph.Graph, n *graph.Node, external *External, fresh *graph.Node) Read {
	if external == nil {
		external = &External{}
	}
	bank := fresh
	switch {
	case external.Bank != nil && external.Valid != nil:
		bank = graph.PackBank(g, external.Bank, fresh, external.Valid)
	case external.Bank != nil:
		bank = graph.ConcatRows(g, external.Bank, fresh)
	}
	if l.EntryQuant != nil {
		bank = l.EntryQuant(g, bank)
	}
	r := Read{
		Queries: l.Query.Forward(g, n, graph.Identity),
		Keys:    l.Key.Forward(g, bank, graph.Identity),
		Values:  l.Val.Forward(g, bank, graph.Identity),
	}
	y := (*graph.Node)(nil)
	if external.Valid != nil || external.Window > 0 {
		y, r.Received = graph.MemoryRead(g, r.Queries, r.Keys, r.Values, external.Valid, graph.Shape(fresh)[1],
			max(1, external.Window))
	} else {
		y = graph.Attention(g, r.Queries, r.Keys, r.Values, nil, 1)
	}
	r.Y = l.Out.Forward(g, y, graph.Identity)
	return r
}
