package graph

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// GRU is a gated recurrent unit over a whole sequence (Cho et al. 2014, in PyTorch's form), from h[-1] = 0:
//
//	r = sigmoid(x_r + W_r h[t-1] + b_r)
//	z = sigmoid(x_z + W_z h[t-1] + b_z)
//	n = tanh(x_n + r ⊙ (W_n h[t-1] + b_n))
//	h[t] = (1 - z) ⊙ n + z ⊙ h[t-1]
//
// for x [B, T, 3D], the input's projections (x_r, x_z, x_n) with their biases, which a Linear makes for all tokens in
// one product, the recurrent weights w = (W_r; W_z; W_n) [3D, D] and biases b [3D]. The result is h, [B, T, D].
//
// Backward is backpropagation through all T steps: with δ = ∂h[t] + what step t+1 gives back,
//
//	∂x_n = δ ⊙ (1 - z) ⊙ (1 - n²), ∂x_z = δ ⊙ (h[t-1] - n) ⊙ z ⊙ (1 - z), ∂x_r = ∂x_n ⊙ (W_n h[t-1] + b_n) ⊙ r ⊙ (1 - r)
//	e = (∂x_r, ∂x_z, r ⊙ ∂x_n), given back to step t-1: z ⊙ δ + e W
//	∂w = Σ eᵀ h[t-1] in one product after the last step, ∂b = Σ e.
func GRU(g *Graph, x, w, b *Node) *Node { return Apply(g, &gru{}, x, w, b) }

type gru struct {
	turned []float32 // Wᵀ [D, 3D], which the steps' thin products read five times as fast
}

func (*gru) String() string { return "gru" }

func (*gru) Plan(in []Spec) (Plan, error) {
	x, w := in[0], in[1]
	if err := wantDims("input projections", x, 3, "[B, T, 3D]"); err != nil {
		return Plan{}, err
	}
	d := lastDim(x) / 3
	if d == 0 || lastDim(x)%3 != 0 {
		return Plan{}, fmt.Errorf("got input projections %v, want [B, T, 3D]", x.Shape)
	}
	if err := wantShape("recurrent weight", w, 3*d, d); err != nil {
		return Plan{}, err
	}
	if err := wantShape("recurrent bias", in[2], 3*d); err != nil {
		return Plan{}, err
	}
	return Plan{
		Out:      withLast(x, d),
		Saved:    []Spec{withLast(x, 4*d)}, // r, z, n, W_n h + b_n
		Work:     []Spec{x},                // e
		Unread:   []int{0, 2},
		ReadsOut: true,
	}, nil
}

// gruRows is the number of sequences that go through the steps together. They share the reading of the weights, which
// is what a step waits for; more of them would leave threads without work.
const gruRows = 2

func (o *gru) Forward(c *Call) {
	batch, length, d := c.Out.Dim(0), c.Out.Dim(1), c.Out.Dim(2)
	o.turn(c.In[1].F, d)
	bias, h := c.In[2].F, c.Out.F
	ParallelScratch(tiles(batch, gruRows), gruRows*3*d+4*d, func(i int, s []float32) {
		gates, state := s[:gruRows*3*d], s[gruRows*3*d:]
		from, to := tile(i, gruRows, batch)
		for t := range length {
			for b := from; b < to; b++ {
				copy(gates[(b-from)*3*d:], bias)
			}
			if t > 0 {
				blas.Gemm(false, false, to-from, 3*d, d, 1, h[(from*length+t-1)*d:], length*d, o.turned, 3*d, 1, gates, 3*d)
			}
			for b := from; b < to; b++ {
				r := b*length + t
				if c.Saved[0].F != nil {
					state = rowAt(c.Saved[0], r, 4*d)
				}
				var before []float32
				if t > 0 {
					before = rowAt(c.Out, r-1, d)
				}
				gruStep(rowAt(c.Out, r, d), before, rowAt(c.In[0], r, 3*d), gates[(b-from)*3*d:(b-from+1)*3*d], state)
			}
		}
	})
}

// turn fills turned with the transpose of w.
func (o *gru) turn(w []float32, d int) {
	if o.turned == nil {
		o.turned = make([]float32, len(w))
	}
	Parallel(tiles(3*d, weightRows), func(i int) {
		from, to := tile(i, weightRows, 3*d)
		for r := from; r < to; r++ {
			for j, v := range w[r*d : (r+1)*d] {
				o.turned[j*3*d+r] = v
			}
		}
	})
}

// gruStep computes h from the state before it (nil: zero), the input's projections x and the recurrent ones g, and
// leaves r, z, n and g_n in state.
func gruStep(h, before, x, g, state []float32) {
	d := len(h)
	gates, n, gn := state[:2*d], state[2*d:3*d], state[3*d:]
	vec.Add(gates, x[:2*d], g[:2*d])
	vec.Sigmoid(gates, gates)
	copy(gn, g[2*d:])
	copy(n, x[2*d:])
	vec.MulAdd(n, gates[:d], gn)
	vec.Scale(n, 2, n) // tanh(x) = 2 sigmoid(2x) - 1
	vec.Sigmoid(n, n)
	z := gates[d:]
	if before == nil {
		for j := range h {
			n[j] = 2*n[j] - 1
			h[j] = n[j] - z[j]*n[j]
		}
		return
	}
	for j := range h {
		n[j] = 2*n[j] - 1
		h[j] = n[j] + z[j]*(before[j]-n[j])
	}
}

func (o *gru) Backward(c *Call) {
	batch, length, d := c.Out.Dim(0), c.Out.Dim(1), c.Out.Dim(2)
	w, e := c.In[1].F, c.Work[0].F
	ParallelScratch(tiles(batch, gruRows), gruRows*d+3*d, func(i int, s []float32) {
		delta, unwanted := s[:gruRows*d], s[gruRows*d:] // δ of each sequence
		clear(delta)
		from, to := tile(i, gruRows, batch)
		for t := length - 1; t >= 0; t-- {
			for b := from; b < to; b++ {
				r := b*length + t
				dx := unwanted
				if c.GradIn[0].F != nil {
					dx = rowAt(c.GradIn[0], r, 3*d)
				}
				var before []float32
				if t > 0 {
					before = rowAt(c.Out, r-1, d)
				}
				back := delta[(b-from)*d : (b-from+1)*d]
				vec.AddTo(back, rowAt(c.Grad, r, d))
				gruStepGrad(back, dx, rowAt(c.Work[0], r, 3*d), before, rowAt(c.Saved[0], r, 4*d))
			}
			if t > 0 {
				blas.Gemm(false, false, to-from, d, 3*d, 1, e[(from*length+t)*3*d:], length*3*d, w, d, 1, delta, d)
			}
		}
	})
	o.weightGrad(c)
}

// gruLeast is the size below which δ counts as 0. A gradient falls to a part at every step back; where that ends in
// subnormal numbers, products with them take a hundred times as long, and nobody can see their results.
const gruLeast = 1e-25

// gruStepGrad turns δ into z ⊙ δ and writes ∂x and e of one step. before is h[t-1], nil for zero.
func gruStepGrad(delta, dx, e, before, state []float32) {
	d := len(delta)
	r, z, n, gn := state[:d], state[d:2*d], state[2*d:3*d], state[3*d:4*d]
	for j, grad := range delta {
		if grad < gruLeast && grad > -gruLeast {
			grad = 0
		}
		was := float32(0)
		if before != nil {
			was = before[j]
		}
		dn := grad * (1 - z[j]) * (1 - n[j]*n[j])
		dz := grad * (was - n[j]) * z[j] * (1 - z[j])
		dr := dn * gn[j] * r[j] * (1 - r[j])
		dx[j], dx[d+j], dx[2*d+j] = dr, dz, dn
		e[j], e[d+j], e[2*d+j] = dr, dz, dn*r[j]
		delta[j] = grad * z[j]
	}
}

// weightGrad computes ∂w and ∂b from e, one sequence after the other.
func (*gru) weightGrad(c *Call) {
	batch, length, d := c.Out.Dim(0), c.Out.Dim(1), c.Out.Dim(2)
	e := c.Work[0].F
	if dw := c.GradIn[1].F; dw != nil && length > 1 {
		Parallel(tiles(3*d, weightRows), func(i int) {
			from, to := tile(i, weightRows, 3*d)
			for b := range batch { // of h[-1] = 0 there is no term
				beta := float32(min(b, 1))
				blas.Gemm(true, false, to-from, d, length-1, 1, e[(b*length+1)*3*d+from:], 3*d, c.Out.F[b*length*d:], d, beta,
					dw[from*d:to*d], d)
			}
		})
	} else if dw != nil {
		clear(dw)
	}
	sumTiles(c.GradIn[2].F, e, 0, 3*d)
}
