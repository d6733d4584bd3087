package graph

import (
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// Attention is multi-head attention: for queries q [B, Q, D], keys k and values v [B, K, D], an optional bias [B, K]
// and H heads of width E = D/H, per head
//
//	y = softmax(q kᵀ / sqrt(E) + bias) v,
//
// result [B, Q, D]. It serves every attention of the model: dense with the salience bias, sparse over the gathered
// top-k tokens, the single query of the last block, and the read of the episodic memory (one head).
//
// The scores are made for a block of queries at a time, never [Q, K] as a whole; for the backward pass only the row's
// log-sum-exp is kept and the block is computed again (Dao et al. 2022). With p the softmax, ds = p ⊙ (∂y vᵀ -
// rowsum(∂y ⊙ y)): ∂q = ds k / sqrt(E), ∂k = dsᵀ q / sqrt(E), ∂v = pᵀ ∂y, ∂bias = Σ_heads,queries ds.
func Attention(g *Graph, q, k, v, bias *Node, heads int) *Node {
	if bias == nil {
		return Apply(g, attention{heads: heads}, q, k, v)
	}
	return Apply(g, attention{heads: heads, bias: true}, q, k, v, bias)
}

// CausalAttention is Attention without bias in which no query sees a later key. The Q queries are those of the last Q
// of the K positions: query i attends to the keys 0 … K-Q+i. Scores that no query of a block may see are not computed.
func CausalAttention(g *Graph, q, k, v *Node, heads int) *Node {
	return Apply(g, attention{heads: heads, causal: true}, q, k, v)
}

type attention struct {
	heads  int
	bias   bool
	causal bool
}

func (o attention) String() string {
	return fmt.Sprintf("attention(heads=%d bias=%t causal=%t)", o.heads, o.bias, o.causal)
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
	if o.causal && q.Shape[1] > k.Shape[1] {
		return Plan{}, fmt.Errorf("got %d queries and %d keys, want no more queries than keys for causal attention",
			q.Shape[1], k.Shape[1])
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

// blockRows is queryRows; fewer where the mask makes large blocks compute much that is not seen.
func (o attention) blockRows(keys int) int {
	if o.causal {
		return min(queryRows(keys), rowTile)
	}
	return queryRows(keys)
}

// seen is the number of keys that query i sees, the first ones.
func (o attention) seen(i, queries, keys int) int {
	if o.causal {
		return keys - queries + i + 1
	}
	return keys
}

// biasOf is the part of the bias that belongs to sequence b, nil without one.
func (o attention) biasOf(c *Call, b, keys int) []float32 {
	if !o.bias {
		return nil
	}
	return c.In[3].F[b*keys : (b+1)*keys]
}

func (o attention) Forward(c *Call) {
	queries, keys, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	e := d / o.heads
	if o.byPanels(queries, e) {
		o.forwardPanels(c)
		return
	}
	rows := o.blockRows(keys)
	blocks := tiles(queries, rows)
	ParallelScratch(c.In[0].Dim(0)*o.heads*blocks, rows*keys+rows, func(i int, s []float32) {
		s, norm := s[:rows*keys], s[rows*keys:]
		b, h := i/blocks/o.heads, i/blocks%o.heads
		from, to := tile(i%blocks, rows, queries)
		n := to - from
		q := c.In[0].F[(b*queries+from)*d+h*e:]
		k := c.In[1].F[b*keys*d+h*e:]
		v := c.In[2].F[b*keys*d+h*e:]
		y := c.Out.F[(b*queries+from)*d+h*e:]
		visible := o.seen(to-1, queries, keys)
		blas.Gemm(false, true, n, visible, e, 1, q, d, k, d, 0, s, keys)
		o.softmax(c, s, norm, keys, i/blocks, from, n, visible)
		blas.Gemm(false, false, n, e, visible, 1, s, keys, v, d, 0, y, d)
		for r := range n { // normalising y instead of the scores is E instead of K operations a row
			vec.Scale(y[r*d:r*d+e], norm[r], y[r*d:r*d+e])
		}
	})
}

func (o attention) Backward(c *Call) {
	queries, keys, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	e := d / o.heads
	if o.byPanels(queries, e) {
		o.backwardPanels(c)
		return
	}
	scale := float32(1 / math.Sqrt(float64(e)))
	rows := o.blockRows(keys)
	ParallelScratch(c.In[0].Dim(0)*o.heads, 2*rows*keys, func(i int, scratch []float32) {
		p, ds := scratch[:rows*keys], scratch[rows*keys:]
		b, h := i/o.heads, i%o.heads
		at := b*keys*d + h*e
		k, v := c.In[1].F[at:], c.In[2].F[at:]
		var dBias []float32
		if o.bias && c.GradIn[3].F != nil {
			dBias = c.Work[0].F[i*keys : (i+1)*keys]
			clear(dBias)
		}
		beta := float32(0) // the first block writes ∂k and ∂v, the others add to them, in order
		if o.causal {      // it does not see all of them
			o.clearHead(c.GradIn[1], b, h)
			o.clearHead(c.GradIn[2], b, h)
			beta = 1
		}
		for from := 0; from < queries; from += rows {
			n := min(rows, queries-from)
			at := (b*queries+from)*d + h*e
			q, dy := c.In[0].F[at:], c.Grad.F[at:]
			visible := o.seen(from+n-1, queries, keys)
			blas.Gemm(false, true, n, visible, e, 1, q, d, k, d, 0, p, keys)
			blas.Gemm(false, true, n, visible, e, 1, dy, d, v, d, 0, ds, keys)
			o.softmaxGrad(c, p, ds, dBias, keys, i, from, n, visible)
			wanted(c.GradIn[2], b*keys*d+h*e, func(dv []float32) {
				blas.Gemm(true, false, visible, e, n, 1, p, keys, dy, d, beta, dv, d)
			})
			wanted(c.GradIn[1], b*keys*d+h*e, func(dk []float32) {
				blas.Gemm(true, false, visible, e, n, scale, ds, keys, q, d, beta, dk, d)
			})
			wanted(c.GradIn[0], at, func(dq []float32) {
				blas.Gemm(false, false, n, e, visible, scale, ds, keys, k, d, 0, dq, d)
			})
			beta = 1
		}
	})
	o.sumBias(c)
}

// softmax makes the scores s of n queries from `from` on, of a head of a sequence and its first visible keys, rows
// stride apart, to the numerators of their softmax; norm are the inverses of the denominators. What a query does not
// see is 0.
func (o attention) softmax(c *Call, s, norm []float32, stride, head, from, n, visible int) {
	queries, keys, e := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)/o.heads
	scale, bias, lse := float32(1/math.Sqrt(float64(e))), o.biasOf(c, head/o.heads, keys), c.Saved[0].F
	for r := range n {
		seen := o.seen(from+r, queries, keys)
		clear(s[r*stride+seen : r*stride+visible])
		p := s[r*stride : r*stride+seen]
		m := vec.ScaleBiasMax(p, scale, bias)
		sum := vec.ExpShiftSum(p, m)
		norm[r] = 1 / sum
		if lse != nil {
			lse[head*queries+from+r] = m + float32(math.Log(float64(sum)))
		}
	}
}

// softmaxGrad makes the scores p of a block, as those of softmax, to their softmax, and ds = ∂y vᵀ to the gradient of
// the scores, which it adds to dBias (nil: not wanted).
func (o attention) softmaxGrad(c *Call, p, ds, dBias []float32, stride, head, from, n, visible int) {
	queries, keys, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	e, b := d/o.heads, head/o.heads
	scale, bias := float32(1/math.Sqrt(float64(e))), o.biasOf(c, b, keys)
	at := (b*queries+from)*d + head%o.heads*e
	y, dy := c.Out.F[at:], c.Grad.F[at:]
	for r := range n {
		seen := o.seen(from+r, queries, keys)
		clear(p[r*stride+seen : r*stride+visible])
		clear(ds[r*stride+seen : r*stride+visible])
		pr, dr := p[r*stride:r*stride+seen], ds[r*stride:r*stride+seen]
		vec.ExpScaleBias(pr, pr, scale, bias, c.Saved[0].F[head*queries+from+r])
		vec.SoftmaxGrad(dr, pr, dr, vec.Dot(dy[r*d:r*d+e], y[r*d:r*d+e]))
		if dBias != nil {
			vec.AddTo(dBias, dr)
		}
	}
}

// sumBias adds up the heads' parts of ∂bias.
func (o attention) sumBias(c *Call) {
	if !o.bias || c.GradIn[3].F == nil {
		return
	}
	keys := c.In[1].Dim(1)
	for b := range c.In[0].Dim(0) {
		sumTiles(c.GradIn[3].F[b*keys:(b+1)*keys], c.Work[0].F[b*o.heads*keys:(b+1)*o.heads*keys], 0, keys)
	}
}

// wanted calls write with t from an element on, unless nobody wants that gradient.
func wanted(t Tensor, from int, write func(x []float32)) {
	if t.F != nil {
		write(t.F[from:])
	}
}

// clearHead zeroes the columns of head h of sequence b in t [B, K, D], if t is wanted.
func (o attention) clearHead(t Tensor, b, h int) {
	if t.F == nil {
		return
	}
	keys, d := t.Dim(1), t.Dim(2)
	e := d / o.heads
	for r := b * keys; r < (b+1)*keys; r++ {
		clear(t.F[r*d+h*e : r*d+(h+1)*e])
	}
}
