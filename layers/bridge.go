package layers

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
)

// ScaleBridge brings the outputs of pathways of different precision to one scale, in floating point (SPEC section 1,
// 4): LayerNorm of each, side by side, Linear PD → PD for P pathways.
type ScaleBridge struct {
	Norms []*LayerNorm
	Fuse  *Linear
}

// NewScaleBridge registers name.norms.0 … P-1 and name.fuse.
func NewScaleBridge(ps *Params, name string, dim, pathways int) *ScaleBridge {
	b := &ScaleBridge{}
	for i := range pathways {
		b.Norms = append(b.Norms, NewLayerNorm(ps, fmt.Sprintf("%s.norms.%d", name, i), dim))
	}
	b.Fuse = NewLinear(ps, name+".fuse", pathways*dim, pathways*dim, true)
	return b
}

// Forward maps P pathways [B, T, D] to their fused outputs side by side, [B, T, PD].
func (b *ScaleBridge) Forward(g *graph.Graph, paths ...*graph.Node) *graph.Node {
	var gammas, betas []*graph.Node
	for _, n := range b.Norms {
		gammas, betas = append(gammas, g.Param(n.Gamma)), append(betas, g.Param(n.Beta))
	}
	return b.Fuse.Forward(g, graph.NormConcat(g, paths, gammas, betas), graph.Identity)
}
