package graph

import "math"

// Log is y = log x, the natural logarithm, elementwise, for x of any shape: ∂x = ∂y / x. At 0 it is -Inf, below NaN.
func Log(g *Graph, x *Node) *Node { return Apply(g, logarithm{}, x) }

type logarithm struct{}

func (logarithm) String() string { return "log" }

func (logarithm) Plan(in []Spec) (Plan, error) { return Plan{Out: in[0]}, wantFloats(in[0]) }

func (logarithm) Forward(c *Call) {
	ParallelElements(len(c.Out.F), func(from, to int) {
		for i, x := range c.In[0].F[from:to] {
			c.Out.F[from+i] = float32(math.Log(float64(x)))
		}
	})
}

func (logarithm) Backward(c *Call) {
	ParallelElements(len(c.Grad.F), func(from, to int) {
		for i, x := range c.In[0].F[from:to] {
			c.GradIn[0].F[from+i] = c.Grad.F[from+i] / x
		}
	})
}
