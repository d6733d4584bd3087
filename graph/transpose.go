package graph

import (
	"fmt"
	"slices"
)

// Transpose is x with its dimensions in another order: dimension i of y is dimension axes[i] of x. Without axes the
// last two are exchanged: [..., M, N] becomes [..., N, M]. ∂x is ∂y in the order of x.
func Transpose(g *Graph, x *Node, axes ...int) *Node {
	if n := len(Shape(x)); len(axes) == 0 && n >= 2 {
		for i := range n {
			axes = append(axes, i)
		}
		axes[n-2], axes[n-1] = n-1, n-2
	}
	return Apply(g, permutation{slices.Clone(axes)}, x)
}

type permutation struct{ axes []int }

func (o permutation) String() string { return fmt.Sprintf("transpose%v", o.axes) }

func (o permutation) Plan(in []Spec) (Plan, error) {
	n := len(in[0].Shape)
	sorted := slices.Sorted(slices.Values(o.axes))
	for i := range n {
		if len(sorted) != n || sorted[i] != i {
			return Plan{}, fmt.Errorf("got axes %v for %v, want each of 0 … %d once", o.axes, in[0].Shape, n-1)
		}
	}
	if n == 0 || len(o.axes) != n {
		return Plan{}, fmt.Errorf("got %v with axes %v, want at least two dimensions", in[0].Shape, o.axes)
	}
	out := Spec{Ints: in[0].Ints}
	for _, a := range o.axes {
		out.Shape = append(out.Shape, in[0].Shape[a])
	}
	return Plan{Out: out, Unread: []int{0}}, nil
}

func (o permutation) Forward(c *Call) {
	permute(c.Out.F, c.In[0].F, c.In[0].Shape, o.axes)
	permute(c.Out.I, c.In[0].I, c.In[0].Shape, o.axes)
}

func (o permutation) Backward(c *Call) {
	inverse := make([]int, len(o.axes))
	for i, a := range o.axes {
		inverse[a] = i
	}
	permute(c.GradIn[0].F, c.Grad.F, c.Grad.Shape, inverse)
}

// permute writes x of the given shape to y, whose dimension i is x's axes[i].
func permute[T any](y, x []T, shape, axes []int) {
	if len(x) == 0 {
		return
	}
	stride := make([]int, len(shape)) // of x, by dimension of x
	for i, s := len(shape)-1, 1; i >= 0; i-- {
		stride[i] = s
		s *= shape[i]
	}
	last := axes[len(axes)-1]
	width, step := shape[last], stride[last]
	rows := len(x) / width
	perTile := max(elementTile/width, 1)
	Parallel(tiles(rows, perTile), func(i int) {
		from, to := tile(i, perTile, rows)
		for r := from; r < to; r++ {
			at, rest := 0, r // where row r of y begins in x
			for d := len(axes) - 2; d >= 0; d-- {
				size := shape[axes[d]]
				at += rest % size * stride[axes[d]]
				rest /= size
			}
			for j := range width {
				y[r*width+j] = x[at+j*step]
			}
		}
	})
}
