package graph

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// Activation is the function that a Linear applies to its result while that is still in cache.
type Activation string

// The activations of the model. GELU is the exact form with erf.
const (
	Identity Activation = ""
	Sigmoid  Activation = "sigmoid"
	ReLU     Activation = "relu"
	GELU     Activation = "gelu"
	SiLU     Activation = "silu"
)

// activation computes an Activation and its gradient from dy and v: its argument, or else its result.
type activation struct {
	apply      func(dst, x []float32)
	grad       func(dst, v, dy []float32)
	ofArgument bool
}

// activations are those of the model; Identity is none.
var activations = map[Activation]activation{
	Sigmoid: {apply: vec.Sigmoid, grad: vec.SigmoidGrad},
	ReLU:    {apply: vec.Relu, grad: vec.ReluGrad},
	GELU:    {apply: vec.Gelu, grad: vec.GeluGrad, ofArgument: true},
	SiLU:    {apply: vec.Silu, grad: vec.SiluGrad, ofArgument: true},
}

// apply computes dst = a(x); dst may be x.
func (a Activation) apply(dst, x []float32) {
	if a != Identity {
		activations[a].apply(dst, x)
	}
}

// Linear is y = act(x Wᵀ + b) for x [..., I], W [O, I], b [O] (nil: none); the result is [..., O].
//
// With p = x Wᵀ + b and e = ∂y ⊙ act'(p): ∂x = e W, ∂W = eᵀ x, ∂b = Σ_rows e.
func Linear(g *Graph, x, w, b *Node, act Activation) *Node {
	if b == nil {
		return Apply(g, linear{act: act}, x, w)
	}
	return Apply(g, linear{act: act, bias: true}, x, w, b)
}

type linear struct {
	act  Activation
	bias bool
}

func (l linear) String() string { return fmt.Sprintf("linear(act=%s bias=%t)", l.act, l.bias) }

// preActivation says whether the derivative needs p and not only y.
func (l linear) preActivation() bool { return activations[l.act].ofArgument }

func (l linear) check(x Spec) error {
	if _, known := activations[l.act]; !known && l.act != Identity {
		return fmt.Errorf("got activation %q, want sigmoid, relu, gelu, silu or none", l.act)
	}
	return wantFloats(x)
}

func (l linear) Plan(in []Spec) (Plan, error) {
	if err := l.check(in[0]); err != nil {
		return Plan{}, err
	}
	x, w := in[0], in[1]
	if err := wantDims("weight", w, 2, "[out, in]"); err != nil {
		return Plan{}, err
	}
	if len(x.Shape) == 0 || lastDim(x) != w.Shape[1] {
		return Plan{}, fmt.Errorf("got input %v and weight %v, want the last dimension of the input to be that of the weight",
			x.Shape, w.Shape)
	}
	if l.bias {
		if err := wantShape("bias", in[2], w.Shape[0]); err != nil {
			return Plan{}, err
		}
	}
	p := Plan{Out: withLast(x, w.Shape[0])}
	switch {
	case l.preActivation():
		p.Saved = []Spec{p.Out}
	case l.act != Identity:
		p.ReadsOut = true
	}
	if l.act != Identity {
		p.Work = []Spec{p.Out}
	}
	return p, nil
}

// Tiles of a matrix product. gemmRows rows of x at a time leave the product in the second-level cache for the
// activation; dW is made in tiles of its own rows, each summed over all rows of x in one call, because a sum split
// between threads would depend on how many there are.
const (
	gemmRows   = 512
	weightRows = 96
)

func (l linear) Forward(c *Call) {
	x, w := c.In[0], c.In[1]
	m, k, n := x.Rows(), w.Dim(1), w.Dim(0)
	if byPanels(m, n) {
		p := panelProduct{x: x.F, y: c.Out.F, m: m, n: n, k: k, act: l.act, panel: panelOf(w.F, n, k)}
		if l.bias {
			p.bias = c.In[2].F
		}
		if l.preActivation() {
			p.before = c.Saved[0].F
		}
		p.run()
		return
	}
	Parallel(tiles(m, gemmRows), func(i int) {
		a, b := tile(i, gemmRows, m)
		y := c.Out.F[a*n : b*n]
		p := y
		if l.preActivation() && c.Saved[0].F != nil {
			p = c.Saved[0].F[a*n : b*n]
		}
		beta := float32(0)
		if l.bias {
			beta = 1
			for r := 0; r < len(p); r += n {
				copy(p[r:r+n], c.In[2].F)
			}
		}
		blas.Gemm(false, true, b-a, n, k, 1, x.F[a*k:b*k], k, w.F, k, beta, p, n)
		l.act.apply(y, p)
	})
}

func (l linear) Backward(c *Call) {
	x, w := c.In[0], c.In[1]
	m, k, n := x.Rows(), w.Dim(1), w.Dim(0)
	e := c.Grad.F
	if l.act != Identity {
		e = c.Work[0].F
		v := c.Out.F
		if l.preActivation() {
			v = c.Saved[0].F
		}
		ParallelElements(len(e), func(a, b int) {
			activations[l.act].grad(e[a:b], v[a:b], c.Grad.F[a:b])
		})
	}
	// The few long parts (dW) come first, so that the many short ones (dx) even out the threads' loads.
	forW, scratch := 0, 0
	var partOfW func(i int, scratch []float32)
	switch {
	case c.GradIn[1].F == nil:
	case vec.HasPanels():
		forW, scratch, partOfW = weightGradient{dw: c.GradIn[1].F, e: e, x: x.F, m: m, n: n, k: k}.parts()
	default:
		forW, partOfW = tiles(n, weightRows), func(i int, _ []float32) {
			a, b := tile(i, weightRows, n)
			blas.Gemm(true, false, b-a, k, m, 1, e[a:], n, x.F, k, 0, c.GradIn[1].F[a*k:b*k], k)
		}
	}
	forB := 0
	if l.bias && c.GradIn[2].F != nil {
		forB = 1
	}
	forX, scratchOfX := 0, 0
	var partOfX func(i int, scratch []float32)
	switch {
	case c.GradIn[0].F == nil:
	case byPanels(m, k):
		forX, scratchOfX, partOfX = panelProduct{x: e, y: c.GradIn[0].F, m: m, n: k, k: n,
			panel: panelOfTransposed(w.F, n, k)}.parts()
	default:
		forX, partOfX = tiles(m, gemmRows), func(i int, _ []float32) {
			a, b := tile(i, gemmRows, m)
			blas.Gemm(false, false, b-a, k, n, 1, e[a*n:b*n], n, w.F, k, 0, c.GradIn[0].F[a*k:b*k], k)
		}
	}
	ParallelScratch(forW+forB+forX, max(scratch, scratchOfX), func(i int, s []float32) {
		switch {
		case i < forW:
			partOfW(i, s)
		case i < forW+forB:
			db := c.GradIn[2].F
			clear(db)
			for r := 0; r < len(e); r += n {
				vec.AddTo(db, e[r:r+n])
			}
		default:
			partOfX(i-forW-forB, s)
		}
	})
}
