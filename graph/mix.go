package graph

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// Mix is the gated sum of a block's pathways, y = x + s + α ⊙ a + β ⊙ m, for the residual x, the gates α and β and the
// pathways s (SSM), a (attention) and m (memory), all [B, T, D]. paths is either the three nodes s, a, m or one node
// [B, T, 3D] that holds them side by side, as a ScaleBridge leaves them.
// ∂x = ∂s = ∂y, ∂a = α ⊙ ∂y, ∂m = β ⊙ ∂y, ∂α = a ⊙ ∂y, ∂β = m ⊙ ∂y.
func Mix(g *Graph, x, alpha, beta *Node, paths ...*Node) *Node {
	return Apply(g, mix{packed: len(paths) == 1}, append([]*Node{x, alpha, beta}, paths...)...)
}

type mix struct{ packed bool }

func (o mix) String() string { return fmt.Sprintf("mix(packed=%t)", o.packed) }

func (o mix) Plan(in []Spec) (Plan, error) {
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	x := in[0]
	for _, s := range in[1:3] {
		if err := sameShape(x, s); err != nil {
			return Plan{}, err
		}
	}
	want := []Spec{x, x, x}
	if o.packed {
		want = []Spec{withLast(x, 3*lastDim(x))}
	}
	if len(in) != 3+len(want) {
		return Plan{}, fmt.Errorf("got %d pathways, want three, or one that holds three", len(in)-3)
	}
	for i, s := range want {
		if err := wantShape("pathway", in[3+i], s.Shape...); err != nil {
			return Plan{}, err
		}
	}
	return Plan{Out: x, Unread: []int{0}}, nil
}

// path is row r of pathway i, of the operands or of their gradients.
func (o mix) path(ts []Tensor, i, r, d int) []float32 {
	if o.packed {
		return rowAt(ts[3], 3*r+i, d)
	}
	return rowAt(ts[3+i], r, d)
}

// rowAt is row r of width d; nil if the tensor is not wanted.
func rowAt(t Tensor, r, d int) []float32 {
	if t.F == nil {
		return nil
	}
	return t.F[r*d : (r+1)*d]
}

func (o mix) Forward(c *Call) {
	rows, d := c.Out.Rows(), c.Out.Dim(-1)
	ParallelRows(rows, func(r int) {
		y := rowAt(c.Out, r, d)
		vec.Add(y, rowAt(c.In[0], r, d), o.path(c.In, 0, r, d))
		vec.MulAdd(y, rowAt(c.In[1], r, d), o.path(c.In, 1, r, d))
		vec.MulAdd(y, rowAt(c.In[2], r, d), o.path(c.In, 2, r, d))
	})
}

func (o mix) Backward(c *Call) {
	rows, d := c.Grad.Rows(), c.Grad.Dim(-1)
	ParallelRows(rows, func(r int) {
		dy := rowAt(c.Grad, r, d)
		copy(rowAt(c.GradIn[0], r, d), dy)
		copy(o.path(c.GradIn, 0, r, d), dy)
		for p := 1; p <= 2; p++ { // α with a, β with m
			if dg := rowAt(c.GradIn[p], r, d); dg != nil {
				vec.Mul(dg, o.path(c.In, p, r, d), dy)
			}
			if dp := o.path(c.GradIn, p, r, d); dp != nil {
				vec.Mul(dp, rowAt(c.In[p], r, d), dy)
			}
		}
	})
}
