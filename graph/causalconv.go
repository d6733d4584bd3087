package graph

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// CausalConv is y = SiLU(p) of a short depthwise convolution over time that sees no later token: for x [B, T, C],
// weight w [C, 1, K] and bias b [C],
//
//	p[t,c] = b[c] + Σ_k w[c,k] x[t-K+1+k, c],
//
// x being zero before the first token. With e = ∂y ⊙ SiLU'(p): ∂x[t] = Σ_k w[k] e[t+K-1-k], ∂w[k] = Σ_t e[t]
// x[t-K+1+k], ∂b = Σ_t e[t].
func CausalConv(g *Graph, x, w, b *Node) *Node { return Apply(g, causalConv{}, x, w, b) }

type causalConv struct{}

func (causalConv) String() string { return "causalconv" }

func (causalConv) Plan(in []Spec) (Plan, error) {
	x, w := in[0], in[1]
	if err := wantDims("input", x, 3, "[B, T, C]"); err != nil {
		return Plan{}, err
	}
	d := lastDim(x)
	if len(w.Shape) != 3 || w.Shape[0] != d || w.Shape[1] != 1 {
		return Plan{}, fmt.Errorf("got weight %v, want [%d, 1, K]", w.Shape, d)
	}
	if err := wantShape("bias", in[2], d); err != nil {
		return Plan{}, err
	}
	parts := x.Shape[0] * tiles(x.Shape[1], rowTile)
	return Plan{
		Out:   x,
		Saved: []Spec{x}, // p
		Work: []Spec{
			x,                                 // e
			floatSpec(parts, w.Shape[2]+1, d), // partial sums of ∂w (transposed) and ∂b
		},
		Unread: []int{2},
	}, nil
}

func (causalConv) Forward(c *Call) {
	length, d, k := c.Out.Dim(1), c.Out.Dim(2), c.In[1].Dim(2)
	perRow := tiles(length, rowTile)
	ParallelScratch(c.Out.Dim(0)*perRow, k*d, func(i int, w []float32) {
		taps(w, c.In[1].F, d, k)
		first := i / perRow * length // row of the sequence's first token
		a, b := tile(i%perRow, rowTile, length)
		for t := a; t < b; t++ {
			y := rowAt(c.Out, first+t, d)
			p := y
			if c.Saved[0].F != nil {
				p = rowAt(c.Saved[0], first+t, d)
			}
			copy(p, c.In[2].F)
			for j := max(0, k-1-t); j < k; j++ {
				vec.MulAdd(p, w[j*d:(j+1)*d], rowAt(c.In[0], first+t-k+1+j, d))
			}
			vec.Silu(y, p)
		}
	})
}

func (causalConv) Backward(c *Call) {
	length, d, k := c.Grad.Dim(1), c.Grad.Dim(2), c.In[1].Dim(2)
	perRow := tiles(length, rowTile)
	parts, stride := c.Grad.Dim(0)*perRow, (k+1)*d
	partial := c.Work[1].F
	Parallel(parts, func(i int) {
		dw := partial[i*stride : (i+1)*stride]
		clear(dw)
		first := i / perRow * length
		a, b := tile(i%perRow, rowTile, length)
		for t := a; t < b; t++ {
			e := rowAt(c.Work[0], first+t, d)
			vec.SiluGrad(e, rowAt(c.Saved[0], first+t, d), rowAt(c.Grad, first+t, d))
			for j := max(0, k-1-t); j < k; j++ {
				vec.MulAdd(dw[j*d:(j+1)*d], e, rowAt(c.In[0], first+t-k+1+j, d))
			}
			vec.AddTo(dw[k*d:], e)
		}
	})
	if c.GradIn[0].F != nil {
		ParallelScratch(parts, k*d, func(i int, w []float32) {
			taps(w, c.In[1].F, d, k)
			first := i / perRow * length
			a, b := tile(i%perRow, rowTile, length)
			for t := a; t < b; t++ {
				dx := rowAt(c.GradIn[0], first+t, d)
				clear(dx)
				for j := max(0, t+k-length); j < k; j++ {
					vec.MulAdd(dx, w[j*d:(j+1)*d], rowAt(c.Work[0], first+t+k-1-j, d))
				}
			}
		})
	}
	sumTiles(c.GradIn[2].F, partial, k*d, stride)
	if dw := c.GradIn[1].F; dw != nil {
		clear(dw)
		for at := 0; at < len(partial); at += stride {
			addTaps(dw, partial[at:at+k*d], d, k)
		}
	}
}
