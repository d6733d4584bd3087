package layers

import "github.com/synapnet/synapnet-train/graph"

// SparseThreshold is the number of tokens up to which attention is dense (SPEC section 1, 2).
const SparseThreshold = 1024

// SparseAttention is multi-head attention steered by a learned salience (SPEC section 1, 2):
//
//	r = MLP(n), θ = the k-th largest r of the row, σ = sigmoid(10 (r - θ))
//	T ≤ sparse threshold: softmax(QKᵀ/sqrt(D/H) + log(σ + 1e-6)) V over all tokens
//	T > sparse threshold: the same over the k most salient tokens, without the bias
//
// followed by an output projection; Q, K and V come from n ⊙ smooth.
type SparseAttention struct {
	Q, K, V, Out *Linear
	Salience1    *Linear // D → D/2, ReLU
	Salience2    *Linear // D/2 → 1

	Heads     int
	KFrac     float64
	Threshold int

	// Smooth is SmoothQuant's factor on the input channels of Q, K and V, [D]; nil means ones.
	Smooth *graph.Param

	// Observe, if set, is given the input n [B, T, D] before smoothing and the input of Out, [B, T, D] or the rows that
	// are computed of it, whenever the layer is added to a graph: calibration keeps them.
	Observe func(g *graph.Graph, n, out *graph.Node)
}

// NewSparseAttention registers name.to_q, to_k, to_v (no bias), to_out and salience_mlp.
func NewSparseAttention(ps *Params, name string, dim, heads int, kFrac float64, threshold int) *SparseAttention {
	return &SparseAttention{
		Q:         NewLinear(ps, name+".to_q", dim, dim, false),
		K:         NewLinear(ps, name+".to_k", dim, dim, false),
		V:         NewLinear(ps, name+".to_v", dim, dim, false),
		Out:       NewLinear(ps, name+".to_out", dim, dim, true),
		Salience1: NewLinear(ps, name+".salience_mlp.0", dim, dim/2, true),
		Salience2: NewLinear(ps, name+".salience_mlp.2", dim/2, 1, true),
		Heads:     heads,
		KFrac:     kFrac,
		Threshold: threshold,
	}
}

// SparseAttentionUses are those of a SparseAttention whose parameters' names in a block begin so ("attn.").
func SparseAttentionUses(prefix string) []Use {
	return []Use{
		{Prefix: prefix + "to_k.", Component: AttentionComponent, Rows: AttentionKeys},
		{Prefix: prefix + "to_v.", Component: AttentionComponent, Rows: AttentionKeys},
		{Prefix: prefix + "salience_mlp.", Component: AttentionComponent, Rows: EveryToken, Chooses: true},
		{Prefix: prefix, Component: AttentionComponent, Rows: WantedRows},
	}
}

// Salience is what the attention tells of its tokens, for the episodic memory.
type Salience struct {
	Sigma *graph.Node // soft mask σ [B, T]
	Top   *graph.Node // positions by descending salience, int32 [B, ≥ k]
}

// Salience scores the tokens n [B, T, D]; Top holds at least `atLeast` positions.
func (l *SparseAttention) Salience(g *graph.Graph, n *graph.Node, atLeast int) Salience {
	k := fraction(l.KFrac, graph.Shape(n)[1])
	r := l.Salience2.Forward(g, l.Salience1.Forward(g, n, graph.ReLU), graph.Identity)
	top := graph.TopK(g, r, max(k, atLeast))
	return Salience{Sigma: graph.Salience(g, r, top, k), Top: top}
}

// fraction is max(1, floor(f·T)).
func fraction(f float64, t int) int { return max(1, int(f*float64(t))) }

// Forward attends from the queries' rows of n, all T of them or the last one, to n [B, T, D].
func (l *SparseAttention) Forward(g *graph.Graph, n, queries *graph.Node, s Salience) *graph.Node {
	t := graph.Shape(n)[1]
	context, bias := n, (*graph.Node)(nil)
	if t > l.Threshold {
		k := fraction(l.KFrac, t)
		context = graph.Gather(g, n, s.Top, k, k) // only these tokens need keys and values
	} else {
		bias = graph.LogSalience(g, s.Sigma)
	}
	context, queries = l.smooth(g, context), l.smooth(g, queries)
	y := graph.Attention(g,
		l.Q.Forward(g, queries, graph.Identity),
		l.K.Forward(g, context, graph.Identity),
		l.V.Forward(g, context, graph.Identity), bias, l.Heads)
	if l.Observe != nil {
		l.Observe(g, n, y)
	}
	return l.Out.Forward(g, y, graph.Identity)
}

func (l *SparseAttention) smooth(g *graph.Graph, x *graph.Node) *graph.Node {
	if l.Smooth == nil {
		return x
	}
	return graph.ScaleChannels(g, x, g.Param(l.Smooth))
}
