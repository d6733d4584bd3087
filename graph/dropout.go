package graph

import (
	"fmt"
	"math"
)

// Dropout is y = x ⊙ m / (1 - p) for x of any shape, where each element of the mask m is 0 with probability p and else
// 1 (Srivastava et al. 2014, with the scale at training time); ∂x = ∂y ⊙ m / (1 - p).
//
// step is an integer input [1] that holds the number of the training step. The mask depends on seed, the step and the
// element's position alone, so a resumed run drops what the uninterrupted one would, whatever GOMAXPROCS is; every
// Dropout of a model wants a seed of its own. A negative step stands for evaluation: y = x. In a graph that is only for
// evaluation step may be nil, and then nothing is added.
func Dropout(g *Graph, x, step *Node, p float64, seed uint64) *Node {
	if !(p >= 0 && p < 1) {
		Fail("graph: dropout: got probability %v, want at least 0 and below 1", p)
	}
	if step == nil || p == 0 {
		return x
	}
	return Apply(g, dropout{p, seed}, x, step)
}

type dropout struct {
	p    float64
	seed uint64
}

func (o dropout) String() string { return fmt.Sprintf("dropout(p=%v seed=%d)", o.p, o.seed) }

func (o dropout) Plan(in []Spec) (Plan, error) {
	if step := in[1]; !step.Ints || step.Size() != 1 {
		return Plan{}, fmt.Errorf("got step %v, want one integer [1]", step.Shape)
	}
	return Plan{Out: in[0], Unread: []int{0}}, wantFloats(in[0])
}

func (o dropout) Forward(c *Call) { o.mask(c.Out.F, c.In[0].F, c.In[1].I[0]) }

func (o dropout) Backward(c *Call) { o.mask(c.GradIn[0].F, c.Grad.F, c.In[1].I[0]) }

// mask writes x to y, with the elements that the step drops set to 0 and the others scaled. An element's random bits
// are those that SplitMix64 (Steele, Lea and Flood 2014) gives at the element's position in the sequence of seed and
// step.
func (o dropout) mask(y, x []float32, step int32) {
	if step < 0 {
		copy(y, x)
		return
	}
	const golden = 0x9e3779b97f4a7c15
	key := mix64(mix64(o.seed+golden) ^ uint64(step))
	dropped := uint64(math.Round(o.p * (1 << 53)))
	scale := float32(1 / (1 - o.p))
	ParallelElements(len(y), func(from, to int) {
		for i := from; i < to; i++ {
			y[i] = scale * x[i]
			if mix64(key+golden*uint64(i+1))>>11 < dropped {
				y[i] = 0
			}
		}
	})
}

// mix64 is the output function of SplitMix64.
func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
