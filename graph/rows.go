package graph

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// Gather takes rows of x [B, T, D] by position: the result [B, S, D] holds x[b, idx[b,i]] for the first count positions
// of idx (int32 [B, ≥count]) and zeros in the remaining S-count rows. The episodic memory's write is a Gather of the
// most salient tokens. A position outside 0 … T-1 stops the run with an error. ∂x is ∂y added up at the positions
// taken, zero elsewhere.
func Gather(g *Graph, x, idx *Node, count, slots int) *Node {
	return Apply(g, gather{count, slots}, x, idx)
}

type gather struct{ count, slots int }

func (o gather) String() string { return fmt.Sprintf("gather(count=%d slots=%d)", o.count, o.slots) }

func (o gather) Plan(in []Spec) (Plan, error) {
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	x, idx := in[0], in[1]
	if len(x.Shape) != 3 || len(idx.Shape) != 2 || !idx.Ints || idx.Shape[0] != x.Shape[0] {
		return Plan{}, fmt.Errorf("got rows %v, positions %v, want [B, T, D] and integers [B, k]", x.Shape, idx.Shape)
	}
	if o.count < 1 || o.count > idx.Shape[1] || o.count > o.slots {
		return Plan{}, fmt.Errorf("got count %d, want 1 … the lesser of %d positions and %d slots", o.count, idx.Shape[1],
			o.slots)
	}
	return Plan{Out: floatSpec(x.Shape[0], o.slots, x.Shape[2]), Unread: []int{0}}, nil
}

func (o gather) Forward(c *Call) {
	t, d, k := c.In[0].Dim(1), c.In[0].Dim(2), c.In[1].Dim(1)
	for i, p := range c.In[1].I {
		if p < 0 || int(p) >= t {
			Fail("position %d at [%d, %d] is outside 0..%d", p, i/k, i%k, t-1)
		}
	}
	Parallel(c.Out.Dim(0), func(b int) {
		out := c.Out.F[b*o.slots*d : (b+1)*o.slots*d]
		for i, p := range c.In[1].I[b*k : b*k+o.count] {
			at := (b*t + int(p)) * d
			copy(out[i*d:(i+1)*d], c.In[0].F[at:at+d])
		}
		clear(out[o.count*d:])
	})
}

func (o gather) Backward(c *Call) {
	t, d, k := c.In[0].Dim(1), c.Out.Dim(2), c.In[1].Dim(1)
	Parallel(c.Out.Dim(0), func(b int) {
		dx := c.GradIn[0].F[b*t*d : (b+1)*t*d]
		clear(dx)
		for i, p := range c.In[1].I[b*k : b*k+o.count] {
			at := (b*o.slots + i) * d
			vec.AddTo(dx[int(p)*d:(int(p)+1)*d], c.Grad.F[at:at+d])
		}
	})
}

// ConcatRows is [x; y] along the second dimension: x [B, S, D], y [B, R, D], result [B, S+R, D].
func ConcatRows(g *Graph, x, y *Node) *Node { return Apply(g, concatRows{}, x, y) }

type concatRows struct{}

func (concatRows) String() string { return "concatrows" }

func (concatRows) Plan(in []Spec) (Plan, error) {
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	x, y := in[0], in[1]
	if len(x.Shape) != 3 || len(y.Shape) != 3 || x.Shape[0] != y.Shape[0] || x.Shape[2] != y.Shape[2] {
		return Plan{}, fmt.Errorf("got %v and %v, want [B, S, D] and [B, R, D]", x.Shape, y.Shape)
	}
	return Plan{Out: floatSpec(x.Shape[0], x.Shape[1]+y.Shape[1], x.Shape[2]), Unread: []int{0, 1}}, nil
}

func (concatRows) Forward(c *Call) {
	n, m := c.In[0].Dim(1)*c.In[0].Dim(2), c.In[1].Dim(1)*c.In[1].Dim(2)
	for b := range c.Out.Dim(0) {
		copy(c.Out.F[b*(n+m):], c.In[0].F[b*n:(b+1)*n])
		copy(c.Out.F[b*(n+m)+n:], c.In[1].F[b*m:(b+1)*m])
	}
}

func (concatRows) Backward(c *Call) {
	n, m := c.In[0].Dim(1)*c.In[0].Dim(2), c.In[1].Dim(1)*c.In[1].Dim(2)
	for b := range c.Out.Dim(0) {
		if dx := c.GradIn[0].F; dx != nil {
			copy(dx[b*n:(b+1)*n], c.Grad.F[b*(n+m):])
		}
		if dy := c.GradIn[1].F; dy != nil {
			copy(dy[b*m:(b+1)*m], c.Grad.F[b*(n+m)+n:])
		}
	}
}

// SliceRows takes count rows of x [B, T, D] from position `from` on: the result is [B, count, D]. Its gradient is zero
// at the rows not taken. The classification head needs only the last one.
func SliceRows(g *Graph, x *Node, from, count int) *Node {
	return Apply(g, sliceRows{from, count}, x)
}

type sliceRows struct{ from, count int }

func (o sliceRows) String() string {
	return fmt.Sprintf("slicerows(from=%d count=%d)", o.from, o.count)
}

func (o sliceRows) Plan(in []Spec) (Plan, error) {
	x := in[0]
	if err := wantDims("input", x, 3, "[B, T, D]"); err != nil {
		return Plan{}, err
	}
	if o.from < 0 || o.count < 1 || o.from+o.count > x.Shape[1] {
		return Plan{}, fmt.Errorf("got rows %d … %d of %d, want rows within 0 … %d", o.from, o.from+o.count-1, x.Shape[1],
			x.Shape[1]-1)
	}
	return Plan{Out: floatSpec(x.Shape[0], o.count, x.Shape[2]), Unread: []int{0}}, nil
}

func (o sliceRows) Forward(c *Call) {
	n, m, at := c.In[0].Dim(1)*c.In[0].Dim(2), o.count*c.In[0].Dim(2), o.from*c.In[0].Dim(2)
	for b := range c.Out.Dim(0) {
		copy(c.Out.F[b*m:(b+1)*m], c.In[0].F[b*n+at:])
	}
}

func (o sliceRows) Backward(c *Call) {
	n, m, at := c.In[0].Dim(1)*c.In[0].Dim(2), o.count*c.In[0].Dim(2), o.from*c.In[0].Dim(2)
	Parallel(c.Out.Dim(0), func(b int) {
		dx := c.GradIn[0].F[b*n : (b+1)*n]
		clear(dx[:at])
		copy(dx[at:at+m], c.Grad.F[b*m:(b+1)*m])
		clear(dx[at+m:])
	})
}

// RepeatRow is n times the one row of x [B, 1, D]: the result is [B, n, D]. ∂x[b] sums ∂y[b] over the rows.
func RepeatRow(g *Graph, x *Node, n int) *Node { return Apply(g, repeatRow{n}, x) }

type repeatRow struct{ n int }

func (o repeatRow) String() string { return fmt.Sprintf("repeatrow(%d)", o.n) }

func (o repeatRow) Plan(in []Spec) (Plan, error) {
	if err := wantDims("input", in[0], 3, "[B, 1, D]"); err != nil {
		return Plan{}, err
	}
	if in[0].Shape[1] != 1 || o.n < 1 {
		return Plan{}, fmt.Errorf("got %v to be repeated %d times, want [B, 1, D] at least once", in[0].Shape, o.n)
	}
	return Plan{Out: floatSpec(in[0].Shape[0], o.n, in[0].Shape[2]), Unread: []int{0}}, nil
}

func (o repeatRow) Forward(c *Call) {
	d := c.Out.Dim(2)
	for r := range c.Out.Dim(0) * o.n {
		copy(c.Out.F[r*d:(r+1)*d], c.In[0].F[r/o.n*d:])
	}
}

func (o repeatRow) Backward(c *Call) {
	d := c.Out.Dim(2)
	clear(c.GradIn[0].F)
	for r := range c.Out.Dim(0) * o.n {
		vec.AddTo(c.GradIn[0].F[r/o.n*d:(r/o.n+1)*d], c.Grad.F[r*d:(r+1)*d])
	}
}

// MeanRows is the mean over the second dimension: x [B, S, D] gives [B, 1, D]; ∂x[b,s] = ∂y[b] / S.
func MeanRows(g *Graph, x *Node) *Node { return Apply(g, meanRows{}, x) }

type meanRows struct{}

func (meanRows) String() string { return "meanrows" }

func (meanRows) Plan(in []Spec) (Plan, error) {
	if err := wantDims("input", in[0], 3, "[B, S, D]"); err != nil {
		return Plan{}, err
	}
	return Plan{Out: floatSpec(in[0].Shape[0], 1, in[0].Shape[2]), Unread: []int{0}}, nil
}

func (meanRows) Forward(c *Call) {
	s, d := c.In[0].Dim(1), c.In[0].Dim(2)
	for b := range c.Out.Dim(0) {
		out := c.Out.F[b*d : (b+1)*d]
		clear(out)
		for i := range s {
			vec.AddTo(out, c.In[0].F[(b*s+i)*d:(b*s+i+1)*d])
		}
		vec.Scale(out, 1/float32(s), out)
	}
}

func (meanRows) Backward(c *Call) {
	s, d := c.In[0].Dim(1), c.In[0].Dim(2)
	for r := range c.In[0].Dim(0) * s {
		vec.Scale(c.GradIn[0].F[r*d:(r+1)*d], 1/float32(s), c.Grad.F[r/s*d:(r/s+1)*d])
	}
}
