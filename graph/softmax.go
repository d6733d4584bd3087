package graph

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// Softmax is y = eˣ / Σ eˣ over the last dimension of x [..., D]: ∂x = y ⊙ (∂y - Σ y ⊙ ∂y). A row's maximum is taken
// off first, so that no finite x overflows; a row of -Inf only gives NaN.
func Softmax(g *Graph, x *Node) *Node { return Apply(g, softmax{}, x) }

type softmax struct{}

func (softmax) String() string { return "softmax" }

func (softmax) Plan(in []Spec) (Plan, error) {
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	if len(in[0].Shape) == 0 {
		return Plan{}, fmt.Errorf("got one number, want [..., D]")
	}
	return Plan{Out: in[0], Unread: []int{0}, ReadsOut: true}, nil
}

func (softmax) Forward(c *Call) {
	rows, d := c.Out.Rows(), c.Out.Dim(-1)
	ParallelRows(rows, func(r int) {
		y := rowAt(c.Out, r, d)
		copy(y, rowAt(c.In[0], r, d))
		vec.Scale(y, 1/vec.ExpShiftSum(y, vec.Max(y)), y)
	})
}

func (softmax) Backward(c *Call) {
	rows, d := c.Grad.Rows(), c.Grad.Dim(-1)
	ParallelRows(rows, func(r int) {
		y, dy := rowAt(c.Out, r, d), rowAt(c.Grad, r, d)
		vec.SoftmaxGrad(rowAt(c.GradIn[0], r, d), y, dy, vec.Dot(y, dy))
	})
}
