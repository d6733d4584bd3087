package graph

import (
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// AttentionReceived is the attention that each key receives: for queries q [B, Q, D], keys k [B, K, D] and H heads of
// width E = D/H,
//
//	y[b,j] = 1/H Σ_heads,queries softmax(q kᵀ / sqrt(E))[i,j],
//
// result [B, K]; it adds up to Q. The scores are made for a block of queries at a time. It is a constant to gradients.
func AttentionReceived(g *Graph, q, k *Node, heads int) *Node {
	return Apply(g, &attentionReceived{heads: heads}, q, k)
}

type attentionReceived struct {
	heads   int
	partial []float32 // by head and block of queries
}

func (o *attentionReceived) String() string {
	return fmt.Sprintf("attentionreceived(heads=%d)", o.heads)
}

func (o *attentionReceived) Plan(in []Spec) (Plan, error) {
	q, k := in[0], in[1]
	if _, err := (attention{heads: o.heads}).Plan([]Spec{q, k, k}); err != nil {
		return Plan{}, err
	}
	return Plan{Out: floatSpec(k.Shape[0], k.Shape[1])}, nil
}

func (o *attentionReceived) Forward(c *Call) {
	batch, queries, keys, d := c.In[0].Dim(0), c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	e, rows := d/o.heads, queryRows(keys)
	scale := float32(1 / math.Sqrt(float64(e)))
	blocks := tiles(queries, rows)
	parts := batch * o.heads * blocks
	if o.partial == nil {
		o.partial = make([]float32, parts*keys)
	}
	ParallelScratch(parts, rows*keys, func(i int, s []float32) {
		b, h := i/blocks/o.heads, i/blocks%o.heads
		from, to := tile(i%blocks, rows, queries)
		sums := o.partial[i*keys : (i+1)*keys]
		clear(sums)
		blas.Gemm(false, true, to-from, keys, e, 1, c.In[0].F[(b*queries+from)*d+h*e:], d, c.In[1].F[b*keys*d+h*e:], d, 0, s,
			keys)
		for r := range to - from {
			p := s[r*keys : (r+1)*keys]
			sum := vec.ExpShiftSum(p, vec.ScaleBiasMax(p, scale, nil))
			vec.Axpy(sums, 1/(sum*float32(o.heads)), p)
		}
	})
	for b := range batch {
		n := o.heads * blocks * keys
		sumTiles(c.Out.F[b*keys:(b+1)*keys], o.partial[b*n:(b+1)*n], 0, keys)
	}
}
