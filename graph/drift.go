package graph

import "fmt"

// Drift is the regulariser of learned step sizes (SPEC section 4): weight times the mean over the pairs of the mean
// (xᵢ - rᵢ)². xs and refs are paired tensors of equal shapes; the result is [1]; ∂xᵢ = 2·weight·(xᵢ - rᵢ)∂y / (pairs ·
// size of xᵢ), and the negative of it for rᵢ.
func Drift(g *Graph, weight float64, xs, refs []*Node) *Node {
	if len(xs) == 0 || len(xs) != len(refs) {
		Fail("drift: got %d tensors and %d references, want equally many, at least 1", len(xs), len(refs))
	}
	return Apply(g, drift{weight, len(xs)}, append(append([]*Node(nil), xs...), refs...)...)
}

type drift struct {
	weight float64
	pairs  int
}

func (o drift) String() string { return fmt.Sprintf("drift(weight=%v pairs=%d)", o.weight, o.pairs) }

func (o drift) Plan(in []Spec) (Plan, error) {
	for i := range o.pairs {
		if err := wantFloats(in[i]); err != nil {
			return Plan{}, err
		}
		if err := sameShape(in[i], in[o.pairs+i]); err != nil {
			return Plan{}, err
		}
	}
	return Plan{Out: floatSpec(1)}, nil
}

func (o drift) Forward(c *Call) {
	var sum float64
	for i := range o.pairs {
		x, ref := c.In[i].F, c.In[o.pairs+i].F
		var square float64
		for j, v := range x {
			d := float64(v) - float64(ref[j])
			square += d * d
		}
		sum += square / float64(len(x))
	}
	c.Out.F[0] = float32(o.weight * sum / float64(o.pairs))
}

func (o drift) Backward(c *Call) {
	for i := range o.pairs {
		x, ref := c.In[i].F, c.In[o.pairs+i].F
		scale := 2 * o.weight * float64(c.Grad.F[0]) / float64(o.pairs*len(x))
		for j, v := range x {
			d := float32(scale * (float64(v) - float64(ref[j])))
			if dx := c.GradIn[i].F; dx != nil {
				dx[j] = d
			}
			if dr := c.GradIn[o.pairs+i].F; dr != nil {
				dr[j] = -d
			}
		}
	}
}
