package layers

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
)

// BaselineBlock is a block of an architecture other than SynapNet.
type BaselineBlock interface {
	// Forward maps x [B, T, D] to [B, T, D]; with last, to the last row of that, [B, 1, D], at the cost of what it needs.
	Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node
}

// assembleBaseline makes the layers of a model of an architecture other than SynapNet.
func assembleBaseline(c Config, ps *Params) *Model {
	a := c.Architecture.find()
	m := &Model{Config: c, Params: ps, Embedding: NewEmbedding(ps, c)}
	for i := range c.Depth {
		m.Baseline = append(m.Baseline, a.block(ps, i, c))
	}
	m.Head = newBaselineHead(ps, c)
	return m
}

// forwardBaseline is Forward of a model of an architecture other than SynapNet. The head reads the last token alone.
func (m *Model) forwardBaseline(g *graph.Graph, ids *graph.Node) Output {
	x := m.Embedding.Forward(g, ids)
	last := !m.Config.LanguageModel()
	for i, b := range m.Baseline {
		x = b.Forward(g, x, last && i == len(m.Baseline)-1 && !m.EveryRow)
	}
	if last && graph.Shape(x)[1] > 1 {
		x = lastRow(g, x)
	}
	return Output{Logits: m.Head.project(g, x)}
}

// CheckSynapNet is an error for an architecture that has not the blocks of SynapNet, their pathways and the memory that
// lasts from one chunk of a stream to the next.
func (a Architecture) CheckSynapNet() error {
	if a == SynapNet {
		return nil
	}
	return fmt.Errorf("the model is of architecture %s, which has no SynapNet blocks and no memory from chunk to chunk, which this needs: give a model of architecture %s", a, SynapNet)
}

// lastRow is the last row of x [B, T, D], [B, 1, D].
func lastRow(g *graph.Graph, x *graph.Node) *graph.Node {
	return graph.SliceRows(g, x, graph.Shape(x)[1]-1, 1)
}

// wanted is x, or its last row.
func wanted(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	if last {
		return lastRow(g, x)
	}
	return x
}
