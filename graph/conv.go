package graph

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// GatedConv is y = n + a ⊙ conv(n), the SSM pathway: n and the gate a are [B, T, D]; conv is a depthwise convolution
// over time with weight w [D, 1, K], K odd, bias b [D] and K/2 zeros on each side, not causal:
//
//	conv(n)[t,d] = b[d] + Σ_k w[d,k] n[t+k-K/2, d].
//
// With e = ∂y ⊙ a: ∂n[t] = ∂y[t] + Σ_k w[k] e[t-k+K/2], ∂a = ∂y ⊙ conv(n), ∂w[k] = Σ_t e[t] n[t+k-K/2], ∂b = Σ_t e[t].
func GatedConv(g *Graph, n, gate, w, b *Node) *Node {
	return Apply(g, gatedConv{}, n, gate, w, b)
}

type gatedConv struct{}

func (gatedConv) String() string { return "gatedconv" }

func (gatedConv) Plan(in []Spec) (Plan, error) {
	n, w := in[0], in[2]
	if err := wantDims("input", n, 3, "[B, T, D]"); err != nil {
		return Plan{}, err
	}
	if err := sameShape(n, in[1]); err != nil {
		return Plan{}, err
	}
	d := lastDim(n)
	if len(w.Shape) != 3 || w.Shape[0] != d || w.Shape[1] != 1 || w.Shape[2]%2 == 0 {
		return Plan{}, fmt.Errorf("got weight %v, want [%d, 1, K] with K odd", w.Shape, d)
	}
	if err := wantShape("bias", in[3], d); err != nil {
		return Plan{}, err
	}
	parts := n.Shape[0] * tiles(n.Shape[1], rowTile)
	return Plan{Out: n, Work: []Spec{
		n,                                 // e
		floatSpec(parts, w.Shape[2]+1, d), // partial sums of ∂w (transposed) and ∂b
	}}, nil
}

// taps copies w [D, 1, K] to [K, D], so that a tap is contiguous over channels.
func taps(dst, w []float32, d, k int) {
	for j := range d {
		for i := range k {
			dst[i*d+j] = w[j*k+i]
		}
	}
}

// convRow adds Σ_k w[k] ⊙ x[t+k-K/2] to dst for one row t of a sequence x [T, D].
func convRow(dst, x, w []float32, t, length, d, k int) {
	for i := max(0, k/2-t); i < min(k, length+k/2-t); i++ {
		s := t + i - k/2
		vec.MulAdd(dst, w[i*d:(i+1)*d], x[s*d:(s+1)*d])
	}
}

func (gatedConv) Forward(c *Call) {
	d, k := c.Out.Dim(2), c.In[2].Dim(2)
	gatedConvForward(c.Out, c.In[0].F, c.In[1].F, c.In[3].F, k, func(dst []float32) { taps(dst, c.In[2].F, d, k) })
}

// gatedConvForward computes GatedConv from n, the gate and the bias; fill writes the K taps as [K, D].
func gatedConvForward(out Tensor, n, gate, bias []float32, k int, fill func(dst []float32)) {
	length, d := out.Dim(1), out.Dim(2)
	perRow := tiles(length, rowTile)
	ParallelScratch(out.Dim(0)*perRow, k*d, func(i int, w []float32) {
		fill(w)
		base := i / perRow * length * d
		n := n[base : base+length*d]
		a, b := tile(i%perRow, rowTile, length)
		for t := a; t < b; t++ {
			y := out.F[base+t*d : base+(t+1)*d]
			copy(y, bias)
			convRow(y, n, w, t, length, d, k)
			vec.Mul(y, y, gate[base+t*d:base+(t+1)*d])
			vec.AddTo(y, n[t*d:(t+1)*d])
		}
	})
}

func (gatedConv) Backward(c *Call) {
	length, d, k := c.Out.Dim(1), c.Out.Dim(2), c.In[2].Dim(2)
	perRow := tiles(length, rowTile)
	e, partial := c.Work[0].F, c.Work[1].F
	stride := (k + 1) * d
	ParallelScratch(c.Out.Dim(0)*perRow, (k+1)*d, func(i int, s []float32) {
		w, conv := s[:k*d], s[k*d:]
		taps(w, c.In[2].F, d, k)
		base := i / perRow * length * d
		n := c.In[0].F[base : base+length*d]
		dw := partial[i*stride : (i+1)*stride]
		clear(dw)
		a, b := tile(i%perRow, rowTile, length)
		for t := a; t < b; t++ {
			row := func(x []float32) []float32 { return x[base+t*d : base+(t+1)*d] }
			vec.Mul(row(e), row(c.Grad.F), row(c.In[1].F))
			if dg := c.GradIn[1].F; dg != nil {
				copy(conv, c.In[3].F)
				convRow(conv, n, w, t, length, d, k)
				vec.Mul(row(dg), row(c.Grad.F), conv)
			}
			for j := max(0, k/2-t); j < min(k, length+k/2-t); j++ {
				at := t + j - k/2
				vec.MulAdd(dw[j*d:(j+1)*d], row(e), n[at*d:(at+1)*d])
			}
			vec.AddTo(dw[k*d:], row(e))
		}
	})
	if c.GradIn[0].F != nil {
		convInputGrad(c, e)
	}
	sumTiles(c.GradIn[3].F, partial, k*d, stride)
	if dw := c.GradIn[2].F; dw != nil {
		clear(dw)
		for at := 0; at < len(partial); at += stride {
			addTaps(dw, partial[at:at+k*d], d, k)
		}
	}
}

// convInputGrad writes the gradient of the input: that of the residual, and the convolution of e [B, T, D], the
// gradient before the gate, with the taps reversed.
func convInputGrad(c *Call, e []float32) {
	length, d, k := c.Out.Dim(1), c.Out.Dim(2), c.In[2].Dim(2)
	perRow := tiles(length, rowTile)
	ParallelScratch(c.Out.Dim(0)*perRow, k*d, func(i int, w []float32) {
		taps(w, c.In[2].F, d, k)
		for j := range k / 2 {
			for x := range d {
				w[j*d+x], w[(k-1-j)*d+x] = w[(k-1-j)*d+x], w[j*d+x]
			}
		}
		base := i / perRow * length * d
		a, b := tile(i%perRow, rowTile, length)
		for t := a; t < b; t++ {
			dn := c.GradIn[0].F[base+t*d : base+(t+1)*d]
			copy(dn, c.Grad.F[base+t*d:base+(t+1)*d])
			convRow(dn, e[base:base+length*d], w, t, length, d, k)
		}
	})
}

// addTaps adds taps [K, D] to weights [D, 1, K].
func addTaps(weights, taps []float32, d, k int) {
	for i := range k {
		for j := range d {
			weights[j*k+i] += taps[i*d+j]
		}
	}
}
