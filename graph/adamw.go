package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// Group is a set of parameters that share a learning rate and a weight decay.
type Group struct {
	LR          float64
	WeightDecay float64
	Params      []*Param
}

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019), parameter groups and clipping to a global
// norm. It is a gorgonia.Solver; Gorgonia's own Adam has neither decoupled decay nor groups. For each parameter w with
// gradient g, after scaling all gradients by min(1, Clip / (‖g‖ + 1e-6)):
//
//	w ← w - lr·wd·w;  m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²;  w ← w - lr·(m/(1-β₁ᵗ)) / (sqrt(v/(1-β₂ᵗ)) + ε)
//
// A parameter without a gradient is left alone, its decay included.
type AdamW struct {
	Beta1, Beta2, Eps float64
	Clip              float64 // the largest global gradient norm; 0: no clipping
	Groups            []*Group

	moments map[*Param]*Moments
	norm    float64
}

// Moments is the optimiser's state of one parameter.
type Moments struct {
	M, V []float32 // first and second moment, shaped as the parameter
	Step int       // updates so far
}

// NewAdamW makes an optimiser with the reference's ε of 1e-8.
func NewAdamW(beta1, beta2, clip float64, groups ...*Group) *AdamW {
	return &AdamW{Beta1: beta1, Beta2: beta2, Eps: 1e-8, Clip: clip, Groups: groups, moments: map[*Param]*Moments{}}
}

// State is the state of a parameter, made at its first use, for checkpoints.
func (a *AdamW) State(p *Param) *Moments {
	m, ok := a.moments[p]
	if !ok {
		m = &Moments{M: make([]float32, p.Size()), V: make([]float32, p.Size())}
		a.moments[p] = m
	}
	return m
}

// Norm is the global gradient norm of the last step, before clipping.
func (a *AdamW) Norm() float64 { return a.norm }

// normTile is the number of elements whose squares are summed in one part.
const normTile = 1 << 16

// Step updates the parameters of all groups from the gradients in model, which are those of a Program. An update with a
// gradient that is not finite is refused and changes nothing.
func (a *AdamW) Step(model []gorgonia.ValueGrad) error {
	grads, norm, err := gradients("AdamW", model)
	a.norm = norm
	if err != nil {
		return err
	}
	scale := clipScale(a.Clip, norm)
	for _, group := range a.Groups {
		for _, p := range group.Params {
			if g, ok := grads[p]; ok {
				a.update(p, g, group, scale)
			}
		}
	}
	return nil
}

// gradients are those of a Program by parameter, with their global norm. One that is not finite is an error.
func gradients(solver string, model []gorgonia.ValueGrad) (map[*Param][]float32, float64, error) {
	grads := make(map[*Param][]float32, len(model))
	var square float64
	for _, vg := range model {
		pg, ok := vg.(*ParamGrad)
		if !ok {
			return nil, 0, fmt.Errorf("graph: %s got a %T, want the gradients of a Program", solver, vg)
		}
		grads[pg.param] = pg.grad
		square += sumSquares(pg.grad)
	}
	norm := math.Sqrt(square)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return nil, norm, fmt.Errorf("graph: the gradient norm is %v: no update was made", norm)
	}
	return grads, norm, nil
}

// clipScale is the factor that brings gradients of the given norm down to at most clip; 0 does not clip.
func clipScale(clip, norm float64) float64 {
	if clip > 0 {
		return min(1, clip/(norm+1e-6))
	}
	return 1
}

func sumSquares(x []float32) float64 {
	partial := make([]float64, tiles(len(x), normTile))
	Parallel(len(partial), func(i int) {
		from, to := tile(i, normTile, len(x))
		partial[i] = vec.SumSq(x[from:to])
	})
	var sum float64
	for _, s := range partial {
		sum += s
	}
	return sum
}

func (a *AdamW) update(p *Param, g []float32, group *Group, scale float64) {
	s := a.State(p)
	s.Step++
	params := vec.AdamWParams{
		LR: group.LR, WeightDecay: group.WeightDecay, Beta1: a.Beta1, Beta2: a.Beta2, Eps: a.Eps,
		Bias1: 1 - math.Pow(a.Beta1, float64(s.Step)), Bias2: 1 - math.Pow(a.Beta2, float64(s.Step)),
		GradScale: scale,
	}
	w := p.Data()
	Parallel(tiles(len(w), normTile), func(i int) {
		from, to := tile(i, normTile, len(w))
		vec.AdamW(w[from:to], s.M[from:to], s.V[from:to], g[from:to], params)
	})
}

// ParamGrad is a parameter with its gradient, a gorgonia.ValueGrad.
type ParamGrad struct {
	param *Param
	grad  []float32
	node  *Node
}

// Value is the parameter's tensor.
func (p *ParamGrad) Value() gorgonia.Value { return p.param.Value }

// Grad is the gradient's tensor.
func (p *ParamGrad) Grad() (gorgonia.Value, error) { return p.node.Value(), nil }

// Name is the parameter's name.
func (p *ParamGrad) Name() string { return p.param.Name }

// Gradients lists the parameters that the loss depends on with their gradients, after a run, for a Solver.
func (p *Program) Gradients() []gorgonia.ValueGrad {
	var all []gorgonia.ValueGrad
	for _, param := range p.graph.order {
		if n, ok := p.graph.grads[param]; ok {
			all = append(all, &ParamGrad{param, p.Grad(param), n})
		}
	}
	return all
}
