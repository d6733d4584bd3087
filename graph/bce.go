package graph

import (
	"fmt"
	"math"
)

// ScoreFloor keeps the logarithms of a binary cross-entropy finite: scores are clamped to 1e-6 … 1 - 1e-6.
const ScoreFloor = 1e-6

// BinaryCrossEntropy is the mean over all elements of -(y log s + (1 - y) log(1 - s)) for scores s in (0, 1), of any
// shape, and labels y of the same shape; labels are clamped to [0, 1], soft ones are welcome (SPEC section 5: the label
// is the attention that an entry received). The result is [1]. Labels are constants. ∂s = (s - y) / (s (1 - s)) ∂loss /
// n, and zero where s was clamped.
func BinaryCrossEntropy(g *Graph, scores, labels *Node) *Node {
	return Apply(g, binaryCrossEntropy{}, scores, labels)
}

type binaryCrossEntropy struct{}

func (binaryCrossEntropy) String() string { return "bce" }

func (binaryCrossEntropy) Plan(in []Spec) (Plan, error) {
	if in[0].Ints {
		return Plan{}, fmt.Errorf("got whole numbers for scores, want floats")
	}
	return Plan{Out: floatSpec(1), Constant: []int{1}}, sameShape(in[0], in[1])
}

func (binaryCrossEntropy) Forward(c *Call) {
	var sum float64
	for i, s := range c.In[0].F {
		p, y := clampScore(s), clampLabel(c.In[1].F[i])
		sum -= y*math.Log(p) + (1-y)*math.Log(1-p)
	}
	c.Out.F[0] = float32(sum / float64(len(c.In[0].F)))
}

func (binaryCrossEntropy) Backward(c *Call) {
	scale := float64(c.Grad.F[0]) / float64(len(c.In[0].F))
	for i, s := range c.In[0].F {
		p := clampScore(s)
		if p != float64(s) {
			c.GradIn[0].F[i] = 0
			continue
		}
		c.GradIn[0].F[i] = float32(scale * (p - clampLabel(c.In[1].F[i])) / (p * (1 - p)))
	}
}

func clampScore(s float32) float64 { return min(max(float64(s), ScoreFloor), 1-ScoreFloor) }

func clampLabel(y float32) float64 { return min(max(float64(y), 0), 1) }
