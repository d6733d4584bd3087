package layers

import (
	"fmt"
	"math"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
)

// The classification head reads the last token only, so the last block computes that one only. Nothing about the result
// may depend on it: loss and every gradient are those of the whole block.
func TestLastTokenAloneGivesTheSame(t *testing.T) {
	for _, bridge := range []bool{true, false} {
		for _, threshold := range []int{SparseThreshold, 0} {
			for _, tokens := range []int{1, 4, 8, 9, 40} {
				t.Run(fmt.Sprintf("bridge=%v/threshold=%d/T=%d", bridge, threshold, tokens), func(t *testing.T) {
					c := tiny()
					c.UseScaleBridge, c.SparseThreshold = bridge, threshold
					lastTokenAlone(t, c, tokens)
				})
			}
		}
	}
}

func lastTokenAlone(t *testing.T, c Config, tokens int) {
	const batch = 2
	m := scrambled(t, c)
	ids, labels := randomBatch(batch, tokens, c)
	got, gotP := lossOf(t, batch, tokens, ids, labels, func(g *graph.Graph, in *graph.Node) *graph.Node {
		return m.Forward(g, in, nil).Logits
	})
	want, wantP := lossOf(t, batch, tokens, ids, labels, func(g *graph.Graph, in *graph.Node) *graph.Node {
		x, bank := m.Embedding.Forward(g, in), (*graph.Node)(nil)
		for _, b := range m.Blocks {
			o := b.ForwardMemory(g, x, nil, false)
			x, bank = o.X, o.Bank
		}
		return m.Head.Classify(g, graph.SliceRows(g, x, tokens-1, 1), bank)
	})
	if math.Abs(float64(got-want)) > 1e-6*math.Abs(float64(want)) {
		t.Errorf("loss %g, want %g", got, want)
	}
	compared := 0
	for _, p := range m.Params.All() {
		g, w := gotP.Grad(p), wantP.Grad(p)
		if (g == nil) != (w == nil) {
			t.Errorf("%s: has a gradient: %v, want %v", p.Name, g != nil, w != nil)
			continue
		}
		near(t, "gradient of "+p.Name, g, w, 1e-5)
		compared += len(g)
	}
	if compared < m.Params.Count()/2 {
		t.Errorf("%d gradient elements compared of %d parameters", compared, m.Params.Count())
	}
}

// In the dense path the salience network learns through the attention's bias; in the sparse path nothing reaches it
// (SPEC section 1, 2).
func TestGradientOfTheSalience(t *testing.T) {
	for _, threshold := range []int{SparseThreshold, 0} {
		c := tiny()
		c.SparseThreshold = threshold
		m := scrambled(t, c)
		ids, labels := randomBatch(2, 20, c)
		_, p := lossOf(t, 2, 20, ids, labels, func(g *graph.Graph, in *graph.Node) *graph.Node {
			return m.Forward(g, in, nil).Logits
		})
		learns := false
		for _, x := range p.Grad(m.Blocks[0].Attention.Salience1.W.Param) {
			learns = learns || x != 0
		}
		if want := threshold > 0; learns != want {
			t.Errorf("sparse threshold %d: the salience network learns: %v, want %v", threshold, learns, want)
		}
	}
}

// Without ScaleBridge a block has no parameters of one.
func TestBlockWithoutBridge(t *testing.T) {
	c := tiny()
	c.UseScaleBridge = false
	if m := newModel(t, c); m.Blocks[0].Bridge != nil || m.Params.Count() != c.Parameters() {
		t.Errorf("bridge %v, %d parameters, want none, %d", m.Blocks[0].Bridge, m.Params.Count(), c.Parameters())
	}
}
