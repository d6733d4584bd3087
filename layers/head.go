package layers

import "github.com/synapnet/synapnet-train/graph"

// Head is LayerNorm and a Linear to classes or, as a language model, to the vocabulary.
type Head struct {
	Norm *LayerNorm
	RMS  *RMSNorm // in place of Norm in the architectures that have one
	Out  *Linear
}

// NewHead registers norm_out and head as the architecture has them.
func NewHead(ps *Params, c Config) *Head {
	a, l := c.Architecture.find(), &Head{}
	if a.RMSNorm {
		l.RMS = NewRMSNorm(ps, "norm_out", c.Dim)
	} else {
		l.Norm = NewLayerNorm(ps, "norm_out", c.Dim)
	}
	l.Out = NewLinear(ps, "head", c.Dim, c.outputs(), !a.UnbiasedOut)
	return l
}

// outputs is the width of a row of logits.
func (c Config) outputs() int {
	if c.LanguageModel() {
		return c.VocabSize
	}
	return c.NumClasses
}

// Classify gives logits [B, Q, C] from the tokens x [B, Q, D] that are asked, the last one as a rule, and the last
// block's bank [B, S, D]: head(LayerNorm(x) + mean over the slots of the bank).
func (l *Head) Classify(g *graph.Graph, x, bank *graph.Node) *graph.Node {
	mean := graph.MeanRows(g, bank)
	if q := graph.Shape(x)[1]; q > 1 {
		mean = graph.RepeatRow(g, mean, q)
	}
	return l.Out.Forward(g, graph.Sum(g, l.Norm.Forward(g, x), mean), graph.Identity)
}

// Project gives logits [..., O] from x [..., D] alone: for the token after each one, as a language model, and what
// every architecture but SynapNet does.
func (l *Head) Project(g *graph.Graph, x *graph.Node) *graph.Node {
	if l.RMS != nil {
		return l.Out.Forward(g, l.RMS.Forward(g, x), graph.Identity)
	}
	return l.Out.Forward(g, l.Norm.Forward(g, x), graph.Identity)
}
