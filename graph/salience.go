package graph

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// TopK gives, for each row of r ([B, T] or [B, T, 1]), the positions of its k largest values in descending order, as
// int32 [B, k]. Of equal values the earlier position comes first; NaN counts as smallest. It has no gradient.
func TopK(g *Graph, r *Node, k int) *Node { return Apply(g, topK{k}, r) }

type topK struct{ k int }

func (o topK) String() string { return fmt.Sprintf("topk(%d)", o.k) }

func (o topK) Plan(in []Spec) (Plan, error) {
	b, t, err := scores(in[0])
	if err != nil {
		return Plan{}, err
	}
	if o.k < 1 || o.k > t {
		return Plan{}, fmt.Errorf("got k = %d for %d tokens, want 1 … %d", o.k, t, t)
	}
	return Plan{Out: Spec{Shape: []int{b, o.k}, Ints: true}}, nil
}

// scores gives B and T of one score per token.
func scores(s Spec) (b, t int, err error) {
	if err := wantFloats(s); err != nil {
		return 0, 0, err
	}
	if len(s.Shape) == 2 || len(s.Shape) == 3 && s.Shape[2] == 1 {
		return s.Shape[0], s.Shape[1], nil
	}
	return 0, 0, fmt.Errorf("got scores %v, want [B, T] or [B, T, 1]", s.Shape)
}

func (o topK) Forward(c *Call) {
	t := c.In[0].Dim(1)
	Parallel(c.Out.Dim(0), func(b int) {
		r := c.In[0].F[b*t : (b+1)*t]
		order := make([]int32, t)
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortFunc(order, func(i, j int32) int { return cmp.Or(cmp.Compare(r[j], r[i]), cmp.Compare(i, j)) })
		copy(c.Out.I[b*o.k:(b+1)*o.k], order)
	})
}

// SalienceGain is the steepness of the soft mask (SPEC section 1).
const SalienceGain = 10

// Salience is the soft mask σ[t] = sigmoid(10 (r[t] - θ)) with θ the k-th largest r of the row, for r [B, T, 1] and the
// descending top positions idx [B, ≥k] of r. The result is [B, T]. θ is not detached: with z[t] = 10 ∂σ[t] σ[t] (1 -
// σ[t]), ∂r[t] = z[t], less Σz at the k-th position.
func Salience(g *Graph, r, idx *Node, k int) *Node { return Apply(g, salience{k}, r, idx) }

type salience struct{ k int }

func (o salience) String() string { return fmt.Sprintf("salience(k=%d)", o.k) }

func (o salience) Plan(in []Spec) (Plan, error) {
	b, t, err := scores(in[0])
	if err != nil {
		return Plan{}, err
	}
	if len(in[1].Shape) != 2 || !in[1].Ints || in[1].Shape[0] != b || o.k < 1 || in[1].Shape[1] < o.k {
		return Plan{}, fmt.Errorf("got positions %v, want integers [%d, at least %d]", in[1].Shape, b, o.k)
	}
	return Plan{Out: floatSpec(b, t), Unread: []int{0}, ReadsOut: true}, nil
}

// kth is the position of the k-th largest score of row b.
func (o salience) kth(c *Call, b int) int { return int(c.In[1].I[b*c.In[1].Dim(1)+o.k-1]) }

func (o salience) Forward(c *Call) {
	t := c.Out.Dim(1)
	Parallel(c.Out.Dim(0), func(b int) {
		r, out := c.In[0].F[b*t:(b+1)*t], c.Out.F[b*t:(b+1)*t]
		theta := r[o.kth(c, b)]
		for i, x := range r {
			out[i] = SalienceGain * (x - theta)
		}
		vec.Sigmoid(out, out)
	})
}

func (o salience) Backward(c *Call) {
	t := c.Out.Dim(1)
	Parallel(c.Out.Dim(0), func(b int) {
		dr := c.GradIn[0].F[b*t : (b+1)*t]
		vec.SigmoidGrad(dr, c.Out.F[b*t:(b+1)*t], c.Grad.F[b*t:(b+1)*t])
		vec.Scale(dr, SalienceGain, dr)
		dr[o.kth(c, b)] -= vec.Sum(dr)
	})
}

// SalienceFloor keeps the attention bias finite (SPEC section 1).
const SalienceFloor = 1e-6

// LogSalience is the attention bias log(σ + 1e-6) of the salience σ [B, T]; ∂σ = ∂y / (σ + 1e-6).
func LogSalience(g *Graph, sigma *Node) *Node { return Apply(g, logSalience{}, sigma) }

type logSalience struct{}

func (logSalience) String() string { return "logsalience" }

func (logSalience) Plan(in []Spec) (Plan, error) {
	return Plan{Out: in[0]}, wantDims("salience", in[0], 2, "[B, T]")
}

func (logSalience) Forward(c *Call) {
	for i, s := range c.In[0].F {
		c.Out.F[i] = float32(math.Log(float64(s) + SalienceFloor))
	}
}

func (logSalience) Backward(c *Call) {
	for i, s := range c.In[0].F {
		c.GradIn[0].F[i] = c.Grad.F[i] / (s + SalienceFloor)
	}
}
