package layers

import "github.com/synapnet/synapnet-train/graph"

// Head is LayerNorm and a Linear to classes or, as a language model, to the vocabulary.
type Head struct {
	Norm *LayerNorm
	Out  *Linear
}

// NewHead registers norm_out and head.
func NewHead(ps *Params, c Config) *Head {
	out := c.NumClasses
	if c.LanguageModel() {
		out = c.VocabSize
	}
	return &Head{Norm: NewLayerNorm(ps, "norm_out", c.Dim), Out: NewLinear(ps, "head", c.Dim, out, true)}
}

// Classify gives logits [B, 1, C] from the last token x [B, 1, D] and the last block's bank [B, S, D]:
// head(LayerNorm(x) + mean over the slots of the bank).
func (l *Head) Classify(g *graph.Graph, x, bank *graph.Node) *graph.Node {
	return l.Out.Forward(g, graph.Sum(g, l.Norm.Forward(g, x), graph.MeanRows(g, bank)), graph.Identity)
}

// LanguageModel gives logits [B, T, V] for the token after each one.
func (l *Head) LanguageModel(g *graph.Graph, x *graph.Node) *graph.Node {
	return l.Out.Forward(g, l.Norm.Forward(g, x), graph.Identity)
}
