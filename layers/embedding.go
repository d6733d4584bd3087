package layers

import "github.com/synapnet/synapnet-train/graph"

// Embedding is x[t] = W[ids[t]] + P[t], a learned position embedding on the token embedding.
type Embedding struct {
	Tokens    *Weight // [V, D], N(0, 0.02²)
	Positions *Weight // [1, max-len, D], N(0, 0.02²)
}

// NewEmbedding registers pos_embed and token_embed.weight.
func NewEmbedding(ps *Params, c Config) *Embedding {
	return &Embedding{
		Positions: NewWeight(ps, "pos_embed", Table, ps.Normal, 1, c.MaxLen, c.Dim),
		Tokens:    NewWeight(ps, "token_embed.weight", Table, ps.Normal, c.VocabSize, c.Dim),
	}
}

// Forward maps ids, int32 [B, T], to x [B, T, D].
func (l *Embedding) Forward(g *graph.Graph, ids *graph.Node) *graph.Node {
	return l.Tokens.Embed(g, ids, l.Positions)
}
