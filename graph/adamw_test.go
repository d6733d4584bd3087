package graph

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
)

// refAdam is AdamW in float64, by the formula in the doc comment of AdamW.
type refAdam struct {
	w, m, v []float64
	steps   int
}

func newRefAdam(p *Param) *refAdam {
	a := &refAdam{m: make([]float64, p.Size()), v: make([]float64, p.Size())}
	for _, x := range p.Data() {
		a.w = append(a.w, float64(x))
	}
	return a
}

func (a *refAdam) step(grad []float32, scale, lr, decay, beta1, beta2 float64) {
	a.steps++
	for i := range a.w {
		g := float64(grad[i]) * scale
		a.w[i] -= lr * decay * a.w[i]
		a.m[i] = beta1*a.m[i] + (1-beta1)*g
		a.v[i] = beta2*a.v[i] + (1-beta2)*g*g
		m := a.m[i] / (1 - math.Pow(beta1, float64(a.steps)))
		v := a.v[i] / (1 - math.Pow(beta2, float64(a.steps)))
		a.w[i] -= lr * m / (math.Sqrt(v) + 1e-8)
	}
}

func grads(pairs map[*Param][]float32, order ...*Param) (model []gorgonia.ValueGrad) {
	for _, p := range order {
		if g, ok := pairs[p]; ok {
			model = append(model, &ParamGrad{param: p, grad: g})
		}
	}
	return model
}

// Two groups, one parameter larger than a part of the parallel loops, one that has a gradient only now and then; a clip
// that acts in some steps and not in others.
func TestAdamWAgainstFloat64(t *testing.T) {
	a, b, c := NewParam("a", 7, 5), NewParam("b", normTile+100), NewParam("c", 3)
	params := []*Param{a, b, c}
	reference := map[*Param]*refAdam{}
	r := random(11)
	for _, p := range params {
		fillNormal(r, p.Data())
		reference[p] = newRefAdam(p)
	}
	first := &Group{LR: 1e-2, WeightDecay: 0.1, Params: []*Param{a, c}}
	second := &Group{LR: 3e-3, Params: []*Param{b}}
	opt := NewAdamW(0.9, 0.95, 1, first, second)
	clipped, unclipped := 0, 0
	for step := range 8 {
		first.LR *= 0.9 // as a schedule would
		pairs := map[*Param][]float32{}
		var square float64
		for i, p := range params {
			if p == c && step%3 == 1 {
				continue
			}
			g := make([]float32, p.Size())
			fillNormal(random(uint64(100*step+i)), g)
			for j := range g {
				if step%2 == 0 {
					g[j] *= 1e-4
				}
				square += float64(g[j]) * float64(g[j])
			}
			pairs[p] = g
		}
		if err := opt.Step(grads(pairs, params...)); err != nil {
			t.Fatal(err)
		}
		norm := math.Sqrt(square)
		if math.Abs(opt.Norm()-norm) > 1e-6*norm {
			t.Errorf("step %d: norm %v, want %v", step, opt.Norm(), norm)
		}
		scale := min(1, 1/(norm+1e-6))
		if scale < 1 {
			clipped++
		} else {
			unclipped++
		}
		for p, g := range pairs {
			group := first
			if p == b {
				group = second
			}
			reference[p].step(g, scale, group.LR, group.WeightDecay, 0.9, 0.95)
		}
		for _, p := range params {
			compareAdam(t, step, p, opt.State(p), reference[p])
		}
	}
	if clipped == 0 || unclipped == 0 {
		t.Errorf("%d clipped and %d unclipped steps: both should occur", clipped, unclipped)
	}
}

func compareAdam(t *testing.T, step int, p *Param, s *Moments, want *refAdam) {
	t.Helper()
	if s.Step != want.steps {
		t.Fatalf("step %d: %s counts %d updates, want %d", step, p.Name, s.Step, want.steps)
	}
	for i, w := range want.w {
		if math.Abs(float64(p.Data()[i])-w) > 1e-5*math.Abs(w)+2e-6 {
			t.Fatalf("step %d: %s[%d] = %v, want %v", step, p.Name, i, p.Data()[i], w)
		}
		if math.Abs(float64(s.M[i])-want.m[i]) > 1e-5*math.Abs(want.m[i])+1e-7 || math.Abs(float64(s.V[i])-want.v[i]) > 1e-5*
			want.v[i]+1e-10 {
			t.Fatalf("step %d: moments of %s[%d] are %v, %v, want %v, %v", step, p.Name, i, s.M[i], s.V[i], want.m[i], want.v[i])
		}
	}
}

// Without a gradient nothing happens to a parameter, its weight decay included.
func TestAdamWLeavesParametersWithoutGradientAlone(t *testing.T) {
	a, b := NewParam("a", 2), NewParam("b", 2)
	copy(b.Data(), []float32{3, 4})
	opt := NewAdamW(0.9, 0.999, 0, &Group{LR: 0.1, WeightDecay: 0.5, Params: []*Param{a, b}})
	if err := opt.Step(grads(map[*Param][]float32{a: {1, 1}}, a)); err != nil {
		t.Fatal(err)
	}
	if b.Data()[0] != 3 || b.Data()[1] != 4 || opt.State(b).Step != 0 {
		t.Errorf("b is %v after %d updates, want [3 4] after none", b.Data(), opt.State(b).Step)
	}
	if a.Data()[0] > -0.099 {
		t.Errorf("a[0] = %v, want about -0.1", a.Data()[0])
	}
}

func TestAdamWRefusesGradientsThatAreNotFinite(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		a, b := NewParam("a", 2), NewParam("b", 2)
		copy(a.Data(), []float32{1, 2})
		opt := NewAdamW(0.9, 0.999, 1, &Group{LR: 0.1, WeightDecay: 0.1, Params: []*Param{a, b}})
		if err := opt.Step(grads(map[*Param][]float32{a: {1, 1}, b: {2, 2}}, a, b)); err != nil {
			t.Fatal(err)
		}
		weights, state := append([]float32(nil), a.Data()...), *opt.State(a)
		state.M, state.V = append([]float32(nil), state.M...), append([]float32(nil), state.V...)
		err := opt.Step(grads(map[*Param][]float32{a: {1, 1}, b: {0, bad}}, a, b))
		if err == nil || !strings.Contains(err.Error(), "no update was made") {
			t.Fatalf("%v: got %v, want a refusal", bad, err)
		}
		if !reflect.DeepEqual(weights, a.Data()) || !reflect.DeepEqual(state, *opt.State(a)) {
			t.Errorf("%v: the refused update changed something", bad)
		}
	}
}

type otherGrad struct{ gorgonia.ValueGrad }

func TestAdamWRefusesForeignGradients(t *testing.T) {
	err := NewAdamW(0.9, 0.999, 0).Step([]gorgonia.ValueGrad{otherGrad{}})
	if err == nil || !strings.Contains(err.Error(), "otherGrad") {
		t.Errorf("got %v, want an error that names the type", err)
	}
}

// The whole way: model, gradients, optimiser, and the loss falls.
func TestTrainingLowersTheLoss(t *testing.T) {
	b := smallBlock()
	b.build(t, b.backward)
	opt := NewAdamW(0.9, 0.95, 1, &Group{LR: 3e-3, Params: b.params})
	b.run(t)
	before := b.program.Value(b.loss)[0]
	for range 40 {
		b.run(t)
		if err := opt.Step(b.program.Gradients()); err != nil {
			t.Fatal(err)
		}
	}
	b.run(t)
	if after := b.program.Value(b.loss)[0]; after > before/4 {
		t.Errorf("the loss on one batch went from %v to %v, want at most a quarter", before, after)
	}
}
