package graph

import "github.com/synapnet/synapnet-train/graph/vec"

// Exp is y = eˣ, elementwise, for x of any shape: ∂x = y ⊙ ∂y. Above x = 88.7 it is +Inf.
func Exp(g *Graph, x *Node) *Node { return Apply(g, exp{}, x) }

type exp struct{}

func (exp) String() string { return "exp" }

func (exp) Plan(in []Spec) (Plan, error) {
	return Plan{Out: in[0], Unread: []int{0}, ReadsOut: true}, wantFloats(in[0])
}

func (exp) Forward(c *Call) {
	ParallelElements(len(c.Out.F), func(from, to int) { vec.Exp(c.Out.F[from:to], c.In[0].F[from:to]) })
}

func (exp) Backward(c *Call) {
	ParallelElements(len(c.Grad.F), func(from, to int) {
		vec.Mul(c.GradIn[0].F[from:to], c.Out.F[from:to], c.Grad.F[from:to])
	})
}
