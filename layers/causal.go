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

// causalUses are the uses of the layers under a name.
func causalUses(name string) []use {
	return []use{
		{name + "to_k.", AttentionComponent, everyToken}, {name + "to_v.", AttentionComponent, everyToken},
		{name, AttentionComponent, wantedRows},
	}
}

// attendCausally adds the two products of attention, of the pairs of a query and a key that it sees.
func (k *Cost) attendCausally(n rowCounts, dim int) {
	pairs := n.wanted*n.tokens - n.wanted*(n.wanted-1)/2
	k.product(pairs, dim, 1, true)
	k.product(pairs, dim, 1, true)
}
