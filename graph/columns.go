package graph

import (
	"fmt"
	"slices"
)

// AddColumns is w [O, I] with cols [O, K] added to its columns at[0] … at[K-1], which are distinct: the salient columns
// of a frozen INT4 weight, which go on training in floating point (SPEC section 4). ∂w = ∂y, ∂cols = ∂y at those
// columns.
func AddColumns(g *Graph, w, cols *Node, at []int) *Node {
	return Apply(g, addColumns{slices.Clone(at)}, w, cols)
}

type addColumns struct{ at []int }

func (o addColumns) String() string { return fmt.Sprintf("addcolumns%v", o.at) }

func (o addColumns) Plan(in []Spec) (Plan, error) {
	if err := wantDims("weight", in[0], 2, "[O, I]"); err != nil {
		return Plan{}, err
	}
	rows, n := in[0].Shape[0], in[0].Shape[1]
	if err := wantShape("columns", in[1], rows, len(o.at)); err != nil {
		return Plan{}, err
	}
	for i, a := range o.at {
		if a < 0 || a >= n || slices.Contains(o.at[:i], a) {
			return Plan{}, fmt.Errorf("got columns %v, want distinct ones within 0 … %d", o.at, n-1)
		}
	}
	return Plan{Out: in[0], Unread: []int{0, 1}}, nil
}

func (o addColumns) Forward(c *Call) {
	copy(c.Out.F, c.In[0].F)
	n, k := c.Out.Dim(1), len(o.at)
	for r := range c.Out.Dim(0) {
		for i, a := range o.at {
			c.Out.F[r*n+a] += c.In[1].F[r*k+i]
		}
	}
}

func (o addColumns) Backward(c *Call) {
	if dw := c.GradIn[0].F; dw != nil {
		copy(dw, c.Grad.F)
	}
	dc := c.GradIn[1].F
	if dc == nil {
		return
	}
	n, k := c.Out.Dim(1), len(o.at)
	for r := range c.Out.Dim(0) {
		for i, a := range o.at {
			dc[r*k+i] = c.Grad.F[r*n+a]
		}
	}
}
