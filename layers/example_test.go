package layers_test

import (
	"fmt"
	"log"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// residual is a layer of one's own, x + W GELU(LayerNorm(x)): a struct of the layers whose parameters it has.
type residual struct {
	norm *layers.LayerNorm
	w    *layers.Linear
}

// newResidual registers the parameters under its name.
func newResidual(ps *layers.Params, name string, dim int) *residual {
	return &residual{layers.NewLayerNorm(ps, name+".norm", dim), layers.NewLinear(ps, name+".w", dim, dim, true)}
}

// forward adds the equation to a graph: x [B, T, D] to [B, T, D].
func (r *residual) forward(g *graph.Graph, x *graph.Node) *graph.Node {
	return graph.Sum(g, x, r.w.Forward(g, r.norm.Forward(g, x), graph.GELU))
}

// A layer of one's own, behind a block of the hybrid model.
func ExampleSynapBlock() {
	c := layers.Config{
		Dim: 16, Depth: 1, Heads: 2, VocabSize: 64, MaxLen: 32, NumClasses: 8, KFrac: 0.25, EpisodicSlots: 8,
		EpisodicWriteFrac: 0.25, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: layers.SparseThreshold,
	}
	ps := layers.NewParams(42)
	block, own := layers.NewSynapBlock(ps, "blocks.0", c), newResidual(ps, "own", c.Dim)
	_, err := graph.Build(func(g *graph.Graph) {
		out := block.ForwardMemory(g, g.Input("x", 2, 24, c.Dim), nil, false)
		y := own.forward(g, out.X)
		fmt.Println("output", graph.Shape(y), "memory bank", graph.Shape(out.Bank))
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range ps.All()[len(ps.All())-4:] {
		fmt.Println(p.Name, p.Shape())
	}
	// Output:
	// output [2 24 16] memory bank [2 8 16]
	// own.norm.weight [16]
	// own.norm.bias [16]
	// own.w.weight [16 16]
	// own.w.bias [16]
}
