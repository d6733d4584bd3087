package layers

import "github.com/synapnet/synapnet-train/graph"

// CausalAttention is dense multi-head attention in which no token sees a later one, without biases:
// W_out softmax(Q Kᵀ / sqrt(D/H), causal) V.
type CausalAttention struct {
	Q, K, V, Out *Linear
	Heads        int
}

// NewCausalAttention registers name.to_q, to_k, to_v and to_out.
func NewCausalAttention(ps *Params, name string, dim, heads int) *CausalAttention {
	return &CausalAttention{
		Q:     NewLinear(ps, name+".to_q", dim, dim, false),
		K:     NewLinear(ps, name+".to_k", dim, dim, false),
		V:     NewLinear(ps, name+".to_v", dim, dim, false),
		Out:   NewLinear(ps, name+".to_out", dim, dim, false),
		Heads: heads,
	}
}

// Forward attends from the last Q tokens, queries [B, Q, D], to n [B, T, D].
func (l *CausalAttention) Forward(g *graph.Graph, n, queries *graph.Node) *graph.Node {
	y := graph.CausalAttention(g,
		l.Q.Forward(g, queries, graph.Identity),
		l.K.Forward(g, n, graph.Identity),
		l.V.Forward(g, n, graph.Identity), l.Heads)
	return l.Out.Forward(g, y, graph.Identity)
}

// causalAttentionUses are those of a CausalAttention whose parameters' names in a block begin so.
func causalAttentionUses(prefix string) []Use {
	return []Use{
		{Prefix: prefix + "to_k.", Component: AttentionComponent, Rows: EveryToken},
		{Prefix: prefix + "to_v.", Component: AttentionComponent, Rows: EveryToken},
		{Prefix: prefix, Component: AttentionComponent, Rows: WantedRows},
	}
}

// attendCausally adds the two products of attention, of the pairs of a query and a key that it sees.
func (k *Cost) attendCausally(n RowCounts, dim int) {
	pairs := n.Wanted*n.Tokens - n.Wanted*(n.Wanted-1)/2
	k.Product(pairs, dim, 1, true)
	k.Product(pairs, dim, 1, true)
}
