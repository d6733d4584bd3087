package graph

import (
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// CrossEntropy is the mean over rows of -log softmax(logits)[label], for logits [..., C] and int32 labels, one a row.
// The result is [1]; ∂logits = (softmax - onehot) ∂y / rows. A label outside 0 … C-1 stops the run with an error.
func CrossEntropy(g *Graph, logits, labels *Node) *Node {
	return Apply(g, crossEntropy{}, logits, labels)
}

type crossEntropy struct{}

func (crossEntropy) String() string { return "crossentropy" }

func (crossEntropy) Plan(in []Spec) (Plan, error) {
	rows := rowsOf(in[0])
	if !in[1].Ints || in[1].Size() != rows {
		return Plan{}, fmt.Errorf("got labels %v for logits %v, want %d integers", in[1].Shape, in[0].Shape, rows)
	}
	return Plan{Out: floatSpec(1), Saved: []Spec{floatSpec(rows)}}, nil
}

func (crossEntropy) Forward(c *Call) {
	rows, n := c.In[0].Rows(), c.In[0].Dim(-1)
	for r, l := range c.In[1].I {
		if l < 0 || int(l) >= n {
			Fail("label %d of row %d is outside 0..%d", l, r, n-1)
		}
	}
	losses := make([]float64, rows)
	ParallelScratch(rows, n, func(r int, s []float32) {
		copy(s, c.In[0].F[r*n:(r+1)*n])
		m := vec.Max(s)
		lse := m + float32(math.Log(float64(vec.ExpShiftSum(s, m))))
		if c.Saved[0].F != nil {
			c.Saved[0].F[r] = lse
		}
		losses[r] = float64(lse - c.In[0].F[r*n+int(c.In[1].I[r])])
	})
	var sum float64
	for _, l := range losses {
		sum += l
	}
	c.Out.F[0] = float32(sum / float64(rows))
}

func (crossEntropy) Backward(c *Call) {
	rows, n := c.In[0].Rows(), c.In[0].Dim(-1)
	scale := c.Grad.F[0] / float32(rows)
	Parallel(rows, func(r int) {
		d := c.GradIn[0].F[r*n : (r+1)*n]
		vec.ExpScaleBias(d, c.In[0].F[r*n:(r+1)*n], 1, nil, c.Saved[0].F[r])
		d[c.In[1].I[r]]--
		vec.Scale(d, scale, d)
	})
}
