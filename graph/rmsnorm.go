package graph

import (
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// RMSNormEps is the ε of every RMSNorm (SPEC section 7, Baselines).
const RMSNormEps = 1e-6

// RMSNorm is y = x / sqrt(mean(x²) + ε) ⊙ s over the last dimension, for x [..., D] and the scale s [D] (Zhang and
// Sennrich 2019). With ρ = 1/sqrt(mean(x²) + ε), x̂ = ρ x and h = ∂y ⊙ s: ∂x = ρ (h - x̂ mean(h ⊙ x̂)), ∂s = Σ_rows ∂y
// ⊙ x̂.
func RMSNorm(g *Graph, x, scale *Node) *Node { return Apply(g, rmsNorm{}, x, scale) }

type rmsNorm struct{}

func (rmsNorm) String() string { return "rmsnorm" }

func (rmsNorm) Plan(in []Spec) (Plan, error) {
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	if len(in[0].Shape) == 0 {
		return Plan{}, fmt.Errorf("got a scalar, want [..., D]")
	}
	d, rows := lastDim(in[0]), rowsOf(in[0])
	if err := wantShape("scale", in[1], d); err != nil {
		return Plan{}, err
	}
	return Plan{
		Out:   in[0],
		Saved: []Spec{floatSpec(rows)},                    // ρ
		Work:  []Spec{floatSpec(tiles(rows, rowTile), d)}, // partial sums of ∂s
	}, nil
}

func (rmsNorm) Forward(c *Call) {
	rows, d := c.Out.Rows(), c.Out.Dim(-1)
	ParallelRows(rows, func(r int) {
		x, y := rowAt(c.In[0], r, d), rowAt(c.Out, r, d)
		rho := float32(1 / math.Sqrt(vec.SumSq(x)/float64(d)+RMSNormEps))
		vec.Mul(y, x, c.In[1].F)
		vec.Scale(y, rho, y)
		if c.Saved[0].F != nil {
			c.Saved[0].F[r] = rho
		}
	})
}

func (rmsNorm) Backward(c *Call) {
	rows, d := c.Grad.Rows(), c.Grad.Dim(-1)
	ParallelScratch(tiles(rows, rowTile), d, func(i int, s []float32) {
		ds := c.Work[0].F[i*d : (i+1)*d]
		clear(ds)
		a, b := tile(i, rowTile, rows)
		for r := a; r < b; r++ {
			x, dy, rho := rowAt(c.In[0], r, d), rowAt(c.Grad, r, d), c.Saved[0].F[r]
			vec.Mul(s, dy, x) // ∂y ⊙ x, of which ∂s and mean(h ⊙ x̂) are sums
			vec.Axpy(ds, rho, s)
			if dx := rowAt(c.GradIn[0], r, d); dx != nil {
				dot := vec.Dot(s, c.In[1].F)
				vec.Mul(dx, dy, c.In[1].F)
				vec.Scale(dx, rho, dx)
				vec.Axpy(dx, -rho*rho*rho*dot/float32(d), x)
			}
		}
	})
	sumTiles(c.GradIn[1].F, c.Work[0].F, 0, d)
}
