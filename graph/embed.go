package graph

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// Embed is x[b,t] = W[ids[b,t]] + P[t] for int32 ids [B, T], token embedding W [V, D] and position embedding
// P [1, M, D] with M ≥ T. The result is [B, T, D]. ∂W[v] sums ∂x over the places of v, ∂P[t] over the batch.
// An id outside 0 … V-1 stops the run with an error.
func Embed(g *Graph, ids, tokens, positions *Node) *Node {
	return Apply(g, embed{}, ids, tokens, positions)
}

type embed struct{}

func (embed) String() string { return "embed" }

func (embed) Plan(in []Spec) (Plan, error) {
	ids, w, p := in[0], in[1], in[2]
	if len(ids.Shape) != 2 || !ids.Ints || len(w.Shape) != 2 || len(p.Shape) != 3 || p.Shape[2] != w.Shape[1] {
		return Plan{}, fmt.Errorf("got ids %v, tokens %v, positions %v, want [B, T] integers, [V, D], [1, M, D]", ids.Shape,
			w.Shape, p.Shape)
	}
	if ids.Shape[1] > p.Shape[1] {
		return Plan{}, fmt.Errorf("got %d tokens, want at most the %d positions of the model (max-len)", ids.Shape[1],
			p.Shape[1])
	}
	return Plan{Out: floatSpec(ids.Shape[0], ids.Shape[1], w.Shape[1]), Unread: []int{1, 2}}, nil
}

func (embed) Forward(c *Call) {
	d, t, v := c.Out.Dim(2), c.Out.Dim(1), c.In[1].Dim(0)
	ids := c.In[0].I
	checkIDs(ids, t, v)
	ParallelRows(len(ids), func(r int) {
		w := int(ids[r]) * d
		vec.Add(c.Out.F[r*d:(r+1)*d], c.In[1].F[w:w+d], c.In[2].F[r%t*d:(r%t+1)*d])
	})
}

// checkIDs stops the run at the first id of rows of t tokens that is not in the vocabulary of v.
func checkIDs(ids []int32, t, v int) {
	for i, id := range ids {
		if id < 0 || int(id) >= v {
			Fail("token id %d at row %d, position %d is outside the vocabulary 0..%d", id, i/t, i%t, v-1)
		}
	}
}

func (embed) Backward(c *Call) {
	d, batch, t := c.Out.Dim(2), c.Out.Dim(0), c.Out.Dim(1)
	if dp := c.GradIn[2].F; dp != nil {
		clear(dp[t*d:])
		Parallel(tiles(t, rowTile), func(i int) {
			a, b := tile(i, rowTile, t)
			dst := dp[a*d : b*d]
			copy(dst, c.Grad.F[a*d:b*d])
			for r := 1; r < batch; r++ {
				vec.AddTo(dst, c.Grad.F[(r*t+a)*d:(r*t+b)*d])
			}
		})
	}
	if dw := c.GradIn[1].F; dw != nil {
		clear(dw)
		for i, id := range c.In[0].I { // in order of position: rows of one token are added in a fixed order
			vec.AddTo(dw[int(id)*d:(int(id)+1)*d], c.Grad.F[i*d:(i+1)*d])
		}
	}
}
