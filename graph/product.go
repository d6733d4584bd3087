package graph

import "github.com/synapnet/synapnet-train/graph/vec"

// Product is y = a ⊙ b for two tensors of one shape: ∂a = ∂y ⊙ b, ∂b = ∂y ⊙ a. A gate applied to what it gates.
func Product(g *Graph, a, b *Node) *Node { return Apply(g, product{}, a, b) }

type product struct{}

func (product) String() string { return "product" }

func (product) Plan(in []Spec) (Plan, error) {
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	return Plan{Out: in[0]}, sameShape(in[0], in[1])
}

func (product) Forward(c *Call) {
	ParallelElements(len(c.Out.F), func(from, to int) {
		vec.Mul(c.Out.F[from:to], c.In[0].F[from:to], c.In[1].F[from:to])
	})
}

func (product) Backward(c *Call) {
	ParallelElements(len(c.Grad.F), func(from, to int) {
		for i, other := range []Tensor{c.In[1], c.In[0]} {
			if dx := c.GradIn[i].F; dx != nil {
				vec.Mul(dx[from:to], c.Grad.F[from:to], other.F[from:to])
			}
		}
	})
}
