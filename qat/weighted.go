package qat

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// weighted is y = factor · x. ∂x = factor · ∂y.
func weighted(g *graph.Graph, factor float32, x *graph.Node) *graph.Node {
	return graph.Apply(g, scaledBy{factor}, x)
}

type scaledBy struct{ factor float32 }

func (w scaledBy) String() string { return fmt.Sprintf("weighted(%v)", w.factor) }

func (w scaledBy) Plan(in []graph.Spec) (graph.Plan, error) {
	if in[0].Ints {
		return graph.Plan{}, fmt.Errorf("got integers, want floats")
	}
	return graph.Plan{Out: in[0], Unread: []int{0}}, nil
}

func (w scaledBy) Forward(c *graph.Call) { vec.Scale(c.Out.F, w.factor, c.In[0].F) }

func (w scaledBy) Backward(c *graph.Call) { vec.Scale(c.GradIn[0].F, w.factor, c.Grad.F) }
