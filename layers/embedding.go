package layers

import "github.com/synapnet/synapnet-train/graph"

// Embedding is x[t] = W[ids[t]] + P[t], a learned position embedding on the token embedding.
type Embedding struct {
	Tokens    *graph.Param // [V, D], N(0, 0.02²); nil if packed
	Positions *graph.Param // [1, max-len, D], N(0, 0.02²); nil if packed

	// TokensQuant and PositionsQuant, if set, are the fake-quant nodes of the tables.
	TokensQuant, PositionsQuant FakeQuant

	// TokensPacked and PositionsPacked, if set, are the tables in packed form; both are, or neither.
	TokensPacked, PositionsPacked *graph.Packed
}

// NewEmbedding registers pos_embed and token_embed.weight.
func NewEmbedding(ps *Params, c Config) *Embedding {
	return &Embedding{
		Positions: ps.Normal("pos_embed", 1, c.MaxLen, c.Dim),
		Tokens:    ps.Normal("token_embed.weight", c.VocabSize, c.Dim),

		PositionsPacked: ps.packed["pos_embed"],
		TokensPacked:    ps.packed["token_embed.weight"],
	}
}

// Forward maps ids, int32 [B, T], to x [B, T, D].
func (l *Embedding) Forward(g *graph.Graph, ids *graph.Node) *graph.Node {
	if l.TokensPacked != nil {
		return graph.EmbedPacked(g, ids, l.TokensPacked, l.PositionsPacked)
	}
	return graph.Embed(g, ids, l.TokensQuant.through(g, l.Tokens), l.PositionsQuant.through(g, l.Positions))
}
