package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
)

// Round rounds every element of x to the nearest integer, halves to even. Its gradient is that of the identity, the
// straight-through estimator (Bengio et al. 2013).
func Round(g *Graph, x *Node) *Node { return Apply(g, round{}, x) }

type round struct{}

func (round) String() string { return "round" }

func (round) Plan(in []Spec) (Plan, error) { return Plan{Out: in[0]}, wantFloats(in[0]) }

func (round) Forward(c *Call) {
	eachTile(len(c.Out.F), func(a, b int) {
		for i, x := range c.In[0].F[a:b] {
			c.Out.F[a+i] = roundEven(x)
		}
	})
}

func (round) symGrad(_ gorgonia.Nodes, grad *Node) gorgonia.Nodes { return gorgonia.Nodes{grad} }

// roundEven is exact: a float32 is a float64, and so is the integer nearest to it a float32.
func roundEven(x float32) float32 { return float32(math.RoundToEven(float64(x))) }

// Clamp limits every element of x to lo … hi. The gradient is ∂y where lo ≤ x ≤ hi and zero elsewhere.
func Clamp(g *Graph, x *Node, lo, hi float32) *Node { return Apply(g, clamp{lo, hi}, x) }

type clamp struct{ lo, hi float32 }

func (o clamp) String() string { return fmt.Sprintf("clamp(%v, %v)", o.lo, o.hi) }

func (o clamp) Plan(in []Spec) (Plan, error) {
	if !(o.lo <= o.hi) {
		return Plan{}, fmt.Errorf("got limits %v … %v, want the lower first", o.lo, o.hi)
	}
	return Plan{Out: in[0]}, wantFloats(in[0])
}

func (o clamp) Forward(c *Call) {
	eachTile(len(c.Out.F), func(a, b int) {
		for i, x := range c.In[0].F[a:b] {
			c.Out.F[a+i] = min(max(x, o.lo), o.hi)
		}
	})
}

func (o clamp) Backward(c *Call) {
	eachTile(len(c.Grad.F), func(a, b int) {
		for i, x := range c.In[0].F[a:b] {
			c.GradIn[0].F[a+i] = 0
			if o.lo <= x && x <= o.hi {
				c.GradIn[0].F[a+i] = c.Grad.F[a+i]
			}
		}
	})
}

// eachTile calls f for the tiles that cover n elements.
func eachTile(n int, f func(from, to int)) {
	Parallel(tiles(n, elementTile), func(i int) { f(tile(i, elementTile, n)) })
}
