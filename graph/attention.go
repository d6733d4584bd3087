package graph

import (
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// Attention is multi-head attention: for queries q [B, Q, D], keys k and values v [B, K, D], an optional bias [B, K] and H
// heads of width E = D/H, per head
//
//	y = softmax(q kᵀ / sqrt(E) + bias) v,
//
// result [B, Q, D]. It serves every attention of the model: dense with the salience bias, sparse over the gathered top-k
// tokens, the single query of the last block, and the read of the episodic memory (one head).
//
// The scores are made for a block of queries at a time, never [Q, K] as a whole; for the backward pass only the row's
// log-sum-exp is kept and the block is computed again (Dao et al. 2022). With p the softmax, ds = p ⊙ (∂y vᵀ - rowsum(∂y ⊙ y)):
// ∂q = ds k / sqrt(E), ∂k = dsᵀ q / sqrt(E), ∂v = pᵀ ∂y, ∂bias = Σ_heads,queries ds.
func Attention(g *Graph, q, k, v, bias *Node, heads int) *Node {
	if bias == nil {
		return Apply(g, attention{heads: heads}, q, k, v)
	}
	return Apply(g, attention{heads: heads, bias: true}, q, k, v, bias)
}

type attention struct {
	heads int
	bias  bool
}

func (o attention) String() string {
	return fmt.Sprintf("attention(heads=%d bias=%t)", o.heads, o.bias)
}

func (o attention) Plan(in []Spec) (Plan, error) {
	q, k, v := in[0], in[1], in[2]
	if err := wantDims("queries", q, 3, "[B, Q, D]"); err != nil {
		return Plan{}, err
	}
	b, d := q.Shape[0], q.Shape[2]
	if o.heads < 1 || d%o.heads != 0 {
		return Plan{}, fmt.Errorf("got %d heads for width %d, want a divisor of the width", o.heads, d)
	}
	if len(k.Shape) != 3 || k.Shape[0] != b || k.Shape[2] != d {
		return Plan{}, fmt.Errorf("got keys %v, want [%d, K, %d]", k.Shape, b, d)
	}
	if err := sameShape(k, v); err != nil {
		return Plan{}, err
	}
	p := Plan{
		Out:      q,
		Saved:    []Spec{floatSpec(b, o.heads, q.Shape[1])}, // log-sum-exp
		ReadsOut: true,
	}
	if o.bias {
		if err := wantShape("bias", in[3], b, k.Shape[1]); err != nil {
			return Plan{}, err
		}
		p.Work = []Spec{floatSpec(b, o.heads, k.Shape[1])} // ∂bias per head
	}
	return p, nil
}

// queryRows is the number of queries in a block: as many as keep the scores at one megabyte, in the second-level cache.
func queryRows(keys int) int { return min(max(1<<18/keys, 16), 512) }

// bias is the part of the bias that belongs to sequence b, nil without one.
func (o attention) biasOf(c *Call, b, keys int) []float32 {
	if !o.bias {
		return nil
	}
	return c.In[3].F[b*keys : (b+1)*keys]
}

func (o attention) Forward(c *Call) {
	queries, keys, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	e := d / o.heads
	scale := float32(1 / math.Sqrt(float64(e)))
	rows := queryRows(keys)
	blocks := tiles(queries, rows)
	lse := c.Saved[0].F
	ParallelScratch(c.In[0].Dim(0)*o.heads*blocks, rows*keys+rows, func(i int, s []float32) {
		s, norm := s[:rows*keys], s[rows*keys:]
		b, h := i/blocks/o.heads, i/blocks%o.heads
		from, to := tile(i%blocks, rows, queries)
		n := to - from
		q := c.In[0].F[(b*queries+from)*d+h*e:]
		k := c.In[1].F[b*keys*d+h*e:]
		v := c.In[2].F[b*keys*d+h*e:]
		y := c.Out.F[(b*queries+from)*d+h*e:]
		bias := o.biasOf(c, b, keys)
		blas.Gemm(false, true, n, keys, e, 1, q, d, k, d, 0, s, keys)
		for r := range n {
			p := s[r*keys : (r+1)*keys]
			m := vec.ScaleBiasMax(p, scale, bias)
			sum := vec.ExpShiftSum(p, m)
			norm[r] = 1 / sum
			if lse != nil {
				lse[(b*o.heads+h)*queries+from+r] = m + float32(math.Log(float64(sum)))
			}
		}
		blas.Gemm(false, false, n, e, keys, 1, s, keys, v, d, 0, y, d)
		for r := range n { // normalising y instead of the scores is E instead of K operations a row
			vec.Scale(y[r*d:r*d+e], norm[r], y[r*d:r*d+e])
		}
	})
}

func (o attention) Backward(c *Call) {
	queries, keys, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	e := d / o.heads
	scale := float32(1 / math.Sqrt(float64(e)))
	rows := queryRows(keys)
	ParallelScratch(c.In[0].Dim(0)*o.heads, 2*rows*keys, func(i int, scratch []float32) {
		p, ds := scratch[:rows*keys], scratch[rows*keys:]
		b, h := i/o.heads, i%o.heads
		at := b*keys*d + h*e
		k, v := c.In[1].F[at:], c.In[2].F[at:]
		bias := o.biasOf(c, b, keys)
		var dBias []float32
		if o.bias && c.GradIn[3].F != nil {
			dBias = c.Work[0].F[i*keys : (i+1)*keys]
			clear(dBias)
		}
		beta := float32(0) // the first block writes ∂k and ∂v, the others add to them, in order
		for from := 0; from < queries; from += rows {
			n := min(rows, queries-from)
			at := (b*queries+from)*d + h*e
			q, y, dy := c.In[0].F[at:], c.Out.F[at:], c.Grad.F[at:]
			blas.Gemm(false, true, n, keys, e, 1, q, d, k, d, 0, p, keys)
			blas.Gemm(false, true, n, keys, e, 1, dy, d, v, d, 0, ds, keys)
			for r := range n {
				pr, dr := p[r*keys:(r+1)*keys], ds[r*keys:(r+1)*keys]
				vec.ExpScaleBias(pr, pr, scale, bias, c.Saved[0].F[i*queries+from+r])
				vec.SoftmaxGrad(dr, pr, dr, vec.Dot(dy[r*d:r*d+e], y[r*d:r*d+e]))
				if dBias != nil {
					vec.AddTo(dBias, dr)
				}
			}
			if dv := c.GradIn[2].F; dv != nil {
				blas.Gemm(true, false, keys, e, n, 1, p, keys, dy, d, beta, dv[b*keys*d+h*e:], d)
			}
			if dk := c.GradIn[1].F; dk != nil {
				blas.Gemm(true, false, keys, e, n, scale, ds, keys, q, d, beta, dk[b*keys*d+h*e:], d)
			}
			if dq := c.GradIn[0].F; dq != nil {
				blas.Gemm(false, false, n, e, keys, scale, ds, keys, k, d, 0, dq[at:], d)
			}
			beta = 1
		}
	})
	if o.bias && c.GradIn[3].F != nil {
		for b := range c.In[0].Dim(0) {
			sumTiles(c.GradIn[3].F[b*keys:(b+1)*keys], c.Work[0].F[b*o.heads*keys:(b+1)*o.heads*keys], 0, keys)
		}
	}
}
