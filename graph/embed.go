package graph

import (
	"fmt"
	"slices"

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
	out, err := lookedUp(ids, w, p)
	if err == nil && ids.Shape[1] > p.Shape[1] {
		err = fmt.Errorf("got %d tokens, want at most the %d positions of the model (max-len)", ids.Shape[1], p.Shape[1])
	}
	return Plan{Out: out, Unread: []int{1, 2}}, err
}

// lookedUp is the result of ids, with the rows of tokens w and positions p.
func lookedUp(ids, w, p Spec) (Spec, error) {
	if len(ids.Shape) != 2 || !ids.Ints || len(w.Shape) != 2 || len(p.Shape) != 3 || p.Shape[2] != w.Shape[1] {
		return Spec{}, fmt.Errorf("got ids %v, tokens %v, positions %v, want [B, T] integers, [V, D], [1, M, D]", ids.Shape,
			w.Shape, p.Shape)
	}
	return floatSpec(ids.Shape[0], ids.Shape[1], w.Shape[1]), nil
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
	addRows(c.GradIn[1].F, c.In[0].I, c.Grad.F, d)
}

// addRows makes table, unless it is nil, the sum of the rows of grad [N, D] at the places that rows [N] tell. Rows of
// one place are added in their order, so that the sum has the same bits however many threads there are.
func addRows(table []float32, rows []int32, grad []float32, d int) {
	clear(table)
	if table == nil {
		return
	}
	for i, row := range rows {
		vec.AddTo(table[int(row)*d:(int(row)+1)*d], grad[i*d:(i+1)*d])
	}
}

// EmbedAt is Embed with the position of each token given: x[b,t] = W[ids[b,t]] + P[at[b,t]] for int32 at [B, T]. It
// is Embed's where at[b,t] = t. T may exceed M. ∂P[p] sums ∂x over the places at p. A position outside 0 … M-1 stops
// the run with an error, as an id outside 0 … V-1 does.
func EmbedAt(g *Graph, ids, at, tokens, positions *Node) *Node {
	return Apply(g, embedAt{}, ids, at, tokens, positions)
}

type embedAt struct{}

func (embedAt) String() string { return "embedat" }

func (embedAt) Plan(in []Spec) (Plan, error) {
	out, err := lookedUpAt(in[0], in[1], in[2], in[3])
	return Plan{Out: out, Unread: []int{2, 3}}, err
}

// lookedUpAt is lookedUp with the positions given.
func lookedUpAt(ids, at, w, p Spec) (Spec, error) {
	out, err := lookedUp(ids, w, p)
	if err == nil && (!at.Ints || !slices.Equal(at.Shape, ids.Shape)) {
		err = fmt.Errorf("got the positions of tokens %v, want integers %v, one for each id", at.Shape, ids.Shape)
	}
	return out, err
}

func (embedAt) Forward(c *Call) {
	d, t := c.Out.Dim(2), c.Out.Dim(1)
	ids, at, w, p := c.In[0].I, c.In[1].I, c.In[2], c.In[3]
	checkIDs(ids, t, w.Dim(0))
	checkPositions(at, t, p.Dim(1))
	ParallelRows(len(ids), func(r int) {
		i, j := int(ids[r])*d, int(at[r])*d
		vec.Add(c.Out.F[r*d:(r+1)*d], w.F[i:i+d], p.F[j:j+d])
	})
}

// checkPositions stops the run at the first position of rows of t tokens that is not in the table of m.
func checkPositions(at []int32, t, m int) {
	for i, p := range at {
		if p < 0 || int(p) >= m {
			Fail("position %d of the token at row %d, place %d is outside the model's 0..%d (max-len)", p, i/t, i%t, m-1)
		}
	}
}

func (embedAt) Backward(c *Call) {
	d := c.Out.Dim(2)
	addRows(c.GradIn[2].F, c.In[0].I, c.Grad.F, d)
	addRows(c.GradIn[3].F, c.In[1].I, c.Grad.F, d)
}
