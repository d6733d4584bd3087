package graph

import (
	"fmt"
	"slices"
)

// Reshape is x with its elements in the same order, row-major, in another shape, () for one number: ∂x = ∂y, in the
// shape of x.
func Reshape(g *Graph, x *Node, shape ...int) *Node { return Apply(g, reshape{slices.Clone(shape)}, x) }

type reshape struct{ to []int }

func (o reshape) String() string { return fmt.Sprintf("reshape%v", o.to) }

func (o reshape) Plan(in []Spec) (Plan, error) {
	out := Spec{Shape: o.to, Ints: in[0].Ints}
	if slices.ContainsFunc(o.to, func(d int) bool { return d < 1 }) || out.Size() != in[0].Size() {
		return Plan{}, fmt.Errorf("got %v for %v, want a shape of %d elements", o.to, in[0].Shape, in[0].Size())
	}
	return Plan{Out: out, Unread: []int{0}}, nil
}

func (reshape) Forward(c *Call) {
	copy(c.Out.F, c.In[0].F)
	copy(c.Out.I, c.In[0].I)
}

func (reshape) Backward(c *Call) { copy(c.GradIn[0].F, c.Grad.F) }
