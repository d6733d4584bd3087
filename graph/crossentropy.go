package graph

import (
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// Ignore is the label of a row that does not count: one that only fills up a batch.
const Ignore = -1

// CrossEntropy is the mean over rows of -log softmax(logits)[label], for logits [..., C] and int32 labels, one a row.
// Rows labelled Ignore do not count. The result is [1]; ∂logits = (softmax - onehot) ∂y / rows counted. Any other label
// outside 0 … C-1 stops the run with an error, as does a batch of which no row counts.
func CrossEntropy(g *Graph, logits, labels *Node) *Node {
	return Apply(g, crossEntropy{}, logits, labels)
}

type crossEntropy struct{}

func (crossEntropy) String() string { return "crossentropy" }

func (crossEntropy) Plan(in []Spec) (Plan, error) {
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	rows := rowsOf(in[0])
	if !in[1].Ints || in[1].Size() != rows {
		return Plan{}, fmt.Errorf("got labels %v for logits %v, want %d integers", in[1].Shape, in[0].Shape, rows)
	}
	return Plan{Out: floatSpec(1), Saved: []Spec{floatSpec(rows)}}, nil
}

func (crossEntropy) Forward(c *Call) {
	rows, n := c.In[0].Rows(), c.In[0].Dim(-1)
	for r, l := range c.In[1].I {
		if l != Ignore && (l < 0 || int(l) >= n) {
			Fail("label %d of row %d is outside 0..%d", l, r, n-1)
		}
	}
	counted := countLabels(c.In[1].I)
	if counted == 0 {
		Fail("no row of the batch has a label")
	}
	losses := make([]float64, rows)
	ParallelScratch(rows, n, func(r int, s []float32) {
		if c.In[1].I[r] == Ignore {
			return
		}
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
	c.Out.F[0] = float32(sum / float64(counted))
}

func (crossEntropy) Backward(c *Call) {
	rows, n := c.In[0].Rows(), c.In[0].Dim(-1)
	scale := c.Grad.F[0] / float32(countLabels(c.In[1].I))
	Parallel(rows, func(r int) {
		d := c.GradIn[0].F[r*n : (r+1)*n]
		if c.In[1].I[r] == Ignore {
			clear(d)
			return
		}
		vec.ExpScaleBias(d, c.In[0].F[r*n:(r+1)*n], 1, nil, c.Saved[0].F[r])
		d[c.In[1].I[r]]--
		vec.Scale(d, scale, d)
	})
}

// countLabels is the number of rows that count.
func countLabels(labels []int32) int {
	n := 0
	for _, l := range labels {
		if l != Ignore {
			n++
		}
	}
	return n
}
