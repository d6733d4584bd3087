package graph

import "math"

// Tanh is y = tanh(x), elementwise, for x of any shape: ∂x = (1 - y²) ∂y.
func Tanh(g *Graph, x *Node) *Node { return Apply(g, tanh{}, x) }

type tanh struct{}

func (tanh) String() string { return "tanh" }

func (tanh) Plan(in []Spec) (Plan, error) {
	return Plan{Out: in[0], Unread: []int{0}, ReadsOut: true}, wantFloats(in[0])
}

func (tanh) Forward(c *Call) {
	ParallelElements(len(c.Out.F), func(from, to int) {
		for i, x := range c.In[0].F[from:to] {
			c.Out.F[from+i] = float32(math.Tanh(float64(x)))
		}
	})
}

func (tanh) Backward(c *Call) {
	ParallelElements(len(c.Grad.F), func(from, to int) {
		for i, y := range c.Out.F[from:to] {
			c.GradIn[0].F[from+i] = (1 - float32(y*y)) * c.Grad.F[from+i]
		}
	})
}
