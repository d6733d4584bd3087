package graph

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
)

var _ gorgonia.Solver = (*SGD)(nil)

// gradientOf is a gradient as a Program gives it.
func gradientOf(p *Param, g ...float32) gorgonia.ValueGrad { return &ParamGrad{param: p, grad: g} }

// Three steps of torch.optim.SGD (dampening 0) by its documented algorithm, in float64, for every combination of
// settings.
func TestSGDIsTorchs(t *testing.T) {
	for _, c := range []struct {
		momentum, decay, clip float64
		nesterov              bool
	}{{}, {momentum: 0.9}, {momentum: 0.9, nesterov: true}, {decay: 0.1}, {momentum: 0.8, decay: 0.1, nesterov: true},
		{momentum: 0.9, decay: 0.01, clip: 0.5}} {
		p := NewParam("p", 3)
		copy(p.Data(), []float32{1, -2, 0.5})
		s := NewSGD(c.momentum, c.nesterov, c.clip, &Group{LR: 0.1, WeightDecay: c.decay, Params: []*Param{p}})
		w, b := []float64{1, -2, 0.5}, make([]float64, 3)
		for step := range 3 {
			g := []float32{0.3, -0.7, float32(step)}
			norm := math.Sqrt(float64(g[0])*float64(g[0]) + float64(g[1])*float64(g[1]) + float64(step*step))
			if err := s.Step([]gorgonia.ValueGrad{gradientOf(p, g...)}); err != nil {
				t.Fatal(err)
			}
			if math.Abs(s.Norm()-norm) > 1e-6 {
				t.Errorf("norm %v, want %v", s.Norm(), norm)
			}
			scale := 1.0
			if c.clip > 0 {
				scale = min(1, c.clip/(norm+1e-6))
			}
			for i := range w {
				d := scale*float64(g[i]) + c.decay*w[i]
				b[i] = c.momentum*b[i] + d
				if c.nesterov {
					w[i] -= 0.1 * (d + c.momentum*b[i])
				} else {
					w[i] -= 0.1 * b[i]
				}
				if math.Abs(float64(p.Data()[i])-w[i]) > 1e-6 || math.Abs(float64(s.State(p)[i])-b[i]) > 1e-6 {
					t.Errorf("%+v, step %d: w[%d] = %v with momentum %v, want %v and %v", c, step, i, p.Data()[i], s.State(p)[i], w[i],
						b[i])
				}
			}
		}
	}
}

// Gradients that are not finite change nothing; a parameter without a gradient stays, its decay included.
func TestSGDRefusesAndLeavesAlone(t *testing.T) {
	p, other := NewParam("p", 2), NewParam("other", 2)
	copy(p.Data(), []float32{1, 2})
	copy(other.Data(), []float32{3, 4})
	s := NewSGD(0.9, false, 0, &Group{LR: 0.1, WeightDecay: 0.1, Params: []*Param{p, other}})
	err := s.Step([]gorgonia.ValueGrad{gradientOf(p, 1, float32(math.NaN()))})
	if err == nil || !strings.Contains(err.Error(), "no update was made") || !slices.Equal(p.Data(), []float32{1, 2}) {
		t.Errorf("got %v and %v, want an error and no update", err, p.Data())
	}
	if err := s.Step([]gorgonia.ValueGrad{gradientOf(p, 1, 1)}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(other.Data(), []float32{3, 4}) || slices.Equal(p.Data(), []float32{1, 2}) {
		t.Errorf("got %v and %v, want only the first to move", p.Data(), other.Data())
	}
	if err := s.Step([]gorgonia.ValueGrad{nil}); err == nil || !strings.Contains(err.Error(), "SGD got a") {
		t.Errorf("got %v, want an error that names the solver", err)
	}
}

// Any gorgonia.Solver trains the same programs: a step of AdamW, one of SGD.
func TestSolversTakeTheSameGradients(t *testing.T) {
	b := smallBlock()
	b.build(t, b.backward)
	group := &Group{LR: 1e-2, Params: b.params}
	for _, s := range []gorgonia.Solver{NewAdamW(0.9, 0.99, 1, group), NewSGD(0.9, true, 1, group)} {
		b.fill(1)
		b.run(t)
		before := b.program.Value(b.loss)[0]
		if err := s.Step(b.program.Gradients()); err != nil {
			t.Fatal(err)
		}
		b.run(t)
		if after := b.program.Value(b.loss)[0]; !(after < before) {
			t.Errorf("%T: the loss goes from %v to %v", s, before, after)
		}
	}
}
