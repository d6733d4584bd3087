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

// ForwardAt is Forward with the position of each token given, at int32 [B, T]: x[b,t] = W[ids[b,t]] + P[at[b,t]].
// at may be an input that is filled before each run, with another offset for each sample in training. T may exceed
// the model's max-len; a position outside 0 … max-len-1 stops the run with an error.
func (l *Embedding) ForwardAt(g *graph.Graph, ids, at *graph.Node) *graph.Node {
	return l.Tokens.EmbedAt(g, ids, at, l.Positions)
}
