package graph

import (
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// A memory whose size changes from chunk to chunk would need a graph for every size. Instead it has a capacity: the
// rows that are in use come first, `valid` says how many, and what lies behind them is neither read nor given any
// weight.

// PackBank is the bank that a memory read sees: the first valid[b] rows of external [B, E, D], directly behind them the
// rows of fresh [B, S, D], then zeros; the result is [B, E+S, D]. valid is int32 [B], each from 0 to E.
// ∂external and ∂fresh are the gradients of the rows taken, zero elsewhere.
func PackBank(g *Graph, external, fresh, valid *Node) *Node {
	return Apply(g, packBank{}, external, fresh, valid)
}

type packBank struct{}

func (packBank) String() string { return "packbank" }

func (packBank) Plan(in []Spec) (Plan, error) {
	e, f, valid := in[0], in[1], in[2]
	if len(e.Shape) != 3 || len(f.Shape) != 3 || e.Shape[0] != f.Shape[0] || e.Shape[2] != f.Shape[2] {
		return Plan{}, fmt.Errorf("got %v and %v, want [B, E, D] and [B, S, D]", e.Shape, f.Shape)
	}
	if err := validSpec(valid, e.Shape[0]); err != nil {
		return Plan{}, err
	}
	return Plan{Out: floatSpec(e.Shape[0], e.Shape[1]+f.Shape[1], e.Shape[2]), Unread: []int{0, 1}}, nil
}

func validSpec(s Spec, batch int) error {
	if !s.Ints || len(s.Shape) != 1 || s.Shape[0] != batch {
		return fmt.Errorf("got row counts %v, want integers [%d]", s.Shape, batch)
	}
	return nil
}

// validRows is the number of external rows in use in sequence b.
func validRows(t Tensor, b, most int) int {
	n := int(t.I[b])
	if n < 0 || n > most {
		Fail("%d rows of external memory %d are said to be in use: it must be from 0 to its capacity %d", n, b, most)
	}
	return n
}

func (packBank) Forward(c *Call) {
	e, s, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	for b := range c.Out.Dim(0) {
		n := validRows(c.In[2], b, e)
		out := c.Out.F[b*(e+s)*d : (b+1)*(e+s)*d]
		copy(out, c.In[0].F[b*e*d:(b*e+n)*d])
		copy(out[n*d:], c.In[1].F[b*s*d:(b+1)*s*d])
		clear(out[(n+s)*d:])
	}
}

func (packBank) Backward(c *Call) {
	e, s, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	for b := range c.Grad.Dim(0) {
		n := validRows(c.In[2], b, e)
		dy := c.Grad.F[b*(e+s)*d : (b+1)*(e+s)*d]
		if dx := c.GradIn[0].F; dx != nil {
			dx = dx[b*e*d : (b+1)*e*d]
			clear(dx[copy(dx, dy[:n*d]):])
		}
		if dx := c.GradIn[1].F; dx != nil {
			copy(dx[b*s*d:(b+1)*s*d], dy[n*d:])
		}
	}
}

// The rows of what MemoryRead tells of the attention received.
const (
	ReceivedAll    = 0 // from all queries
	ReceivedWindow = 1 // from the last queries, the observation window
	ReceivedLast   = 2 // from the last query
	receivedRows   = 3
)

// MemoryRead is single-head attention that also tells which keys were attended to, from one pass: for queries q [B, Q,
// D], keys k and values v [B, K, D],
//
//	p = softmax(q kᵀ / sqrt(D)) over the rows in use, y = p v
//
// y is [B, Q, D]; received [B, 3, K] holds, for each key, the sum of p over all queries, over the last `window` queries
// (at least 1, at most all) and of the last query alone. Rows in use are the first valid[b] + fresh (valid int32 [B];
// nil: all K rows); the others get no weight and receive 0.
//
// The gradients are those of Attention with one head; received is a constant to them.
func MemoryRead(g *Graph, q, k, v, valid *Node, fresh, window int) (y, received *Node) {
	o := &memoryRead{fresh: fresh, window: window, counted: valid != nil}
	in := []*Node{q, k, v}
	if valid != nil {
		in = append(in, valid)
	}
	packed := Apply(g, o, in...)
	b, queries, keys, d := Shape(q)[0], Shape(q)[1], Shape(k)[1], Shape(q)[2]
	y = Apply(g, partY{[3]int{b, queries, d}}, packed)
	received = Apply(g, partReceived{[3]int{b, receivedRows, keys}}, packed)
	return y, received
}

// memoryRead leaves y and then received in one flat tensor: a Gorgonia operation has one result. partY and partReceived
// take it apart; what they copy is little beside the products.
type memoryRead struct {
	fresh, window int
	counted       bool
	partial       []float32 // received, by block of queries
}

func (o *memoryRead) String() string {
	return fmt.Sprintf("memoryread(fresh=%d window=%d counted=%t)", o.fresh, o.window, o.counted)
}

func (o *memoryRead) Plan(in []Spec) (Plan, error) {
	q, k := in[0], in[1]
	p, err := attention{heads: 1}.Plan(in[:3])
	if err != nil {
		return Plan{}, err
	}
	if o.window < 1 {
		return Plan{}, fmt.Errorf("got an observation window of %d queries, want at least 1", o.window)
	}
	if o.counted {
		if o.fresh < 0 || o.fresh > k.Shape[1] {
			return Plan{}, fmt.Errorf("got %d fresh rows of %d", o.fresh, k.Shape[1])
		}
		if err := validSpec(in[3], q.Shape[0]); err != nil {
			return Plan{}, err
		}
	}
	p.Out = floatSpec(q.Size() + q.Shape[0]*receivedRows*k.Shape[1])
	return p, nil
}

// used is the number of keys in use in sequence b.
func (o *memoryRead) used(c *Call, b int) int {
	keys := c.In[1].Dim(1)
	if !o.counted {
		return keys
	}
	return validRows(c.In[3], b, keys-o.fresh) + o.fresh
}

// readRows is the number of queries of a block, fewer than in Attention: one sequence has to occupy all processors.
func readRows(keys int) int { return min(queryRows(keys), rowTile) }

func (o *memoryRead) Forward(c *Call) {
	batch, queries, keys := c.In[0].Dim(0), c.In[0].Dim(1), c.In[1].Dim(1)
	received := c.Out.F[len(c.In[0].F):]
	for b := range batch {
		n := o.used(c, b)
		r := received[b*receivedRows*keys : (b+1)*receivedRows*keys]
		if n == 0 { // nothing to read: y is zero
			at := b * queries * c.In[0].Dim(2)
			clear(c.Out.F[at : at+queries*c.In[0].Dim(2)])
			clear(r)
			continue
		}
		o.read(c, b, n, r)
	}
}

// read computes sequence b over its first n keys.
func (o *memoryRead) read(c *Call, b, n int, received []float32) {
	queries, keys, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	scale := float32(1 / math.Sqrt(float64(d)))
	rows := readRows(n)
	blocks := tiles(queries, rows)
	k, v := c.In[1].F[b*keys*d:], c.In[2].F[b*keys*d:]
	if need := blocks * receivedRows * n; cap(o.partial) < need {
		o.partial = make([]float32, need)
	}
	partial := o.partial[:blocks*receivedRows*n]
	ParallelScratch(blocks, rows*n, func(i int, s []float32) {
		from, to := tile(i, rows, queries)
		m := to - from
		at := (b*queries + from) * d
		sums := partial[i*receivedRows*n : (i+1)*receivedRows*n]
		clear(sums)
		all, window, last := sums[:n], sums[n:2*n], sums[2*n:]
		blas.Gemm(false, true, m, n, d, 1, c.In[0].F[at:], d, k, d, 0, s, n)
		for r := range m {
			p := s[r*n : (r+1)*n]
			top := vec.ScaleBiasMax(p, scale, nil)
			sum := vec.ExpShiftSum(p, top)
			vec.Scale(p, 1/sum, p)
			vec.AddTo(all, p)
			if from+r >= queries-o.window {
				vec.AddTo(window, p)
			}
			if from+r == queries-1 {
				copy(last, p)
			}
			if c.Saved[0].F != nil {
				c.Saved[0].F[b*queries+from+r] = top + float32(math.Log(float64(sum)))
			}
		}
		blas.Gemm(false, false, m, d, n, 1, s, n, v, d, 0, c.Out.F[at:], d)
	})
	for row := range receivedRows {
		out := received[row*keys : (row+1)*keys]
		clear(out)
		for i := range blocks {
			vec.AddTo(out[:n], partial[(i*receivedRows+row)*n:(i*receivedRows+row+1)*n])
		}
	}
}

// Backward is that of Attention, over the keys in use.
func (o *memoryRead) Backward(c *Call) {
	queries, keys, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	Parallel(c.In[0].Dim(0), func(b int) {
		n := o.used(c, b)
		part := func(t Tensor, rows, used int) Tensor {
			s := Tensor{Shape: []int{1, used, d}}
			if t.F != nil {
				s.F = t.F[b*rows*d : (b*rows+used)*d]
			}
			return s
		}
		for _, dx := range c.GradIn[1:3] {
			if dx.F != nil {
				clear(dx.F[(b*keys+n)*d : (b+1)*keys*d])
			}
		}
		if n == 0 {
			if dq := part(c.GradIn[0], queries, queries).F; dq != nil {
				clear(dq)
			}
			return
		}
		attention{heads: 1}.Backward(&Call{
			In:    []Tensor{part(c.In[0], queries, queries), part(c.In[1], keys, n), part(c.In[2], keys, n)},
			Out:   part(c.Out, queries, queries),
			Saved: []Tensor{{Shape: []int{1, 1, queries}, F: c.Saved[0].F[b*queries : (b+1)*queries]}},
			Grad:  part(c.Grad, queries, queries),
			GradIn: []Tensor{
				part(c.GradIn[0], queries, queries), part(c.GradIn[1], keys, n), part(c.GradIn[2], keys, n),
			},
		})
	})
}

// partY is the first part of memoryRead's result, [B, Q, D].
type partY struct{ shape [3]int }

func (o partY) String() string { return fmt.Sprintf("memoryread.y%v", o.shape) }

func (o partY) Plan(in []Spec) (Plan, error) {
	return Plan{Out: floatSpec(o.shape[:]...), Unread: []int{0}}, nil
}

func (o partY) Forward(c *Call) { copy(c.Out.F, c.In[0].F) }

func (o partY) Backward(c *Call) {
	clear(c.GradIn[0].F[copy(c.GradIn[0].F, c.Grad.F):])
}

// partReceived is the last part of memoryRead's result, [B, 3, K]. It has no gradient.
type partReceived struct{ shape [3]int }

func (o partReceived) String() string { return fmt.Sprintf("memoryread.received%v", o.shape) }

func (o partReceived) Plan(in []Spec) (Plan, error) {
	return Plan{Out: floatSpec(o.shape[:]...), Unread: []int{0}}, nil
}

func (o partReceived) Forward(c *Call) {
	copy(c.Out.F, c.In[0].F[len(c.In[0].F)-len(c.Out.F):])
}
