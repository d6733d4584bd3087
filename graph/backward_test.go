package graph

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

var (
	_ gorgonia.SDOp   = (*call)(nil)
	_ gorgonia.Op     = (*backCall)(nil)
	_ gorgonia.Op     = (*pick)(nil)
	_ gorgonia.Solver = (*AdamW)(nil)
)

// Graph.Backward and Gorgonia's own driver differentiate the same operations and must agree. The latter adds the
// gradients of a node with several consumers by additions of its own, so this also runs those among planned nodes.
func TestBackwardAgreesWithGorgonia(t *testing.T) {
	ours, theirs := smallBlock(), smallBlock()
	ours.build(t, ours.backward)
	var grads gorgonia.Nodes
	theirs.build(t, func(g *Graph) {
		seed := g.Input("seed", 1)
		g.Floats(seed)[0] = 1
		var wrt gorgonia.Nodes
		for _, p := range theirs.params {
			wrt = append(wrt, g.Param(p))
		}
		var err error
		if grads, err = gorgonia.Backpropagate(gorgonia.Nodes{theirs.loss}, gorgonia.Nodes{seed}, wrt); err != nil {
			t.Fatal(err)
		}
		g.Keep(grads...)
	})
	for round := range 3 {
		ours.fill(uint64(round))
		theirs.fill(uint64(round))
		ours.run(t)
		theirs.run(t)
		for i, p := range ours.params {
			want := theirs.program.Value(grads[i])
			for j, got := range ours.program.Grad(p) {
				if !near(float64(got), float64(want[j]), rms(want)) {
					t.Fatalf("round %d: %s[%d]: Backward %v, gorgonia %v", round, p.Name, j, got, want[j])
				}
			}
		}
	}
}

// Gorgonia's own operations stand between ours, in front of them and behind them.
func TestGorgoniaOperationsInBetween(t *testing.T) {
	w := NewParam("w", 4, 4)
	fillNormal(random(1), w.Data())
	var x, y *Node
	g, err := Build(func(g *Graph) {
		x = g.Input("x", 3, 4)
		y = gorgonia.Must(gorgonia.Square(x))
		y = Linear(g, y, g.Param(w), nil, Identity)
		y = gorgonia.Must(gorgonia.Add(y, gorgonia.Must(gorgonia.Tanh(y))))
		y = Linear(g, Linear(g, y, g.Param(w), nil, ReLU), g.Param(w), nil, Identity)
		y = gorgonia.Must(gorgonia.HadamardProd(y, y))
		g.Keep(y)
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for round := range 3 {
		fillNormal(random(uint64(round)), g.Floats(x))
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		in, weights := ref{shape: []int{3, 4}}, ref{shape: []int{4, 4}}
		for _, v := range g.Floats(x) {
			in.f = append(in.f, float64(v)*float64(v))
		}
		for _, v := range w.Data() {
			weights.f = append(weights.f, float64(v))
		}
		h := ref{shape: in.shape, f: refLinear(in, weights, nil, Identity)}
		for i, v := range h.f {
			h.f[i] = v + math.Tanh(v)
		}
		h.f = refLinear(h, weights, nil, ReLU)
		for i, v := range refLinear(h, weights, nil, Identity) {
			if got := float64(p.Value(y)[i]); !near(got, v*v, 1) {
				t.Fatalf("round %d: y[%d] = %v, want %v", round, i, got, v*v)
			}
		}
	}
}

// A parameter used several times, also several times by one kernel, sums its gradients.
func TestFanIn(t *testing.T) {
	checkKernels(t, []kernelCase{
		{
			name:     "one kernel",
			operands: []operand{floats(2, 5, 6)},
			apply:    func(g *Graph, n []*Node) *Node { return Attention(g, n[0], n[0], n[0], nil, 2) },
			reference: func(in []ref) []float64 {
				return refAttention([]ref{in[0], in[0], in[0]}, 2)
			},
		},
		{
			name:     "chain",
			operands: []operand{floats(3, 4), {shape: []int{4, 4}, fill: small}},
			apply: func(g *Graph, n []*Node) *Node {
				h := Linear(g, n[0], n[1], nil, GELU)
				return Sum(g, Linear(g, h, n[1], nil, Sigmoid), h, h, n[0])
			},
			reference: func(in []ref) []float64 {
				h := ref{shape: in[0].shape, f: refLinear(in[0], in[1], nil, GELU)}
				y := refLinear(h, in[1], nil, Sigmoid)
				for i := range y {
					y[i] += 2*h.f[i] + in[0].f[i]
				}
				return y
			},
		},
		{
			name:     "term of its own sum",
			operands: []operand{floats(7)},
			apply:    func(g *Graph, n []*Node) *Node { return Sum(g, n[0], n[0], n[0]) },
			reference: func(in []ref) (y []float64) {
				for _, x := range in[0].f {
					y = append(y, 3*x)
				}
				return y
			},
		},
	})
}

// A parameter that the loss does not depend on, or only through positions, has no gradient, and that is no error.
func TestUnreachedAndFrozenParameters(t *testing.T) {
	used, frozen, unused, ranks := NewParam("used", 2, 3), NewParam("frozen", 2, 3), NewParam("unused", 3),
		NewParam("ranks", 1, 4)
	x := NewParam("x", 1, 4, 3)
	frozen.Frozen = true
	for i, p := range []*Param{used, frozen, unused, ranks, x} {
		fillNormal(random(uint64(i)), p.Data())
	}
	var loss *Node
	g, err := Build(func(g *Graph) {
		Linear(g, g.Param(unused), g.Param(used), nil, Identity) // leads nowhere
		top := TopK(g, g.Param(ranks), 2)
		rows := Gather(g, g.Param(x), top, 2, 2)
		y := Sum(g, Linear(g, rows, g.Param(used), nil, Identity), Linear(g, rows, g.Param(frozen), nil, Identity))
		loss = Apply(g, weigh{}, y, g.Input("w", 1, 2, 2))
		g.Backward(loss)
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile() // nothing is kept: the gradients are wanted
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	for param, want := range map[*Param]bool{used: true, x: true, frozen: false, unused: false, ranks: false} {
		if got := p.Grad(param) != nil; got != want {
			t.Errorf("%s: gradient %t, want %t", param.Name, got, want)
		}
	}
	if got := g.Unreached(); len(got) != 2 || got[0] != unused || got[1] != ranks {
		t.Errorf("unreached are %v, want unused and ranks", got)
	}
	if n := len(p.Gradients()); n != 2 {
		t.Errorf("the optimiser is given %d gradients, want 2", n)
	}
	for _, vg := range p.Gradients() {
		grad, err := vg.Grad()
		if err != nil || !grad.Shape().Eq(vg.Value().Shape()) || grad.Dtype() != tensor.Float32 {
			t.Errorf("gradient %v of %v: %v", grad.Shape(), vg.Value().Shape(), err)
		}
	}
}

func TestBackwardRefuses(t *testing.T) {
	frozen := NewParam("frozen", 2)
	frozen.Frozen = true
	for name, c := range map[string]struct {
		f    func(g *Graph)
		want string
	}{
		"nothing to train": {func(g *Graph) {
			g.Backward(Apply(g, weigh{}, g.Param(frozen), g.Input("w", 2)))
		}, "does not depend on any parameter"},
		"twice": {func(g *Graph) {
			l := Apply(g, weigh{}, g.Param(NewParam("p", 2)), g.Input("w", 2))
			g.Backward(l)
			g.Backward(l)
		}, "before"},
		"a kernel without gradient": {func(g *Graph) {
			g.Backward(Apply(g, weigh{}, Apply(g, noGradient{}, g.Param(NewParam("p", 2))), g.Input("w", 2)))
		},
			"nogradient: operand 0 depends on a parameter that can be trained, and the kernel graph.noGradient has no Backward"},
		"a constant operand": {func(g *Graph) {
			y := Linear(g, g.Param(NewParam("p", 2, 3)), g.Param(NewParam("w", 2, 3)), nil, Sigmoid)
			g.Backward(BinaryCrossEntropy(g, y, y))
		}, "bce: operand 1 depends on a parameter that can be trained, and the kernel's Plan calls it constant"},
		"a loss of several numbers": {func(g *Graph) {
			g.Backward(Sum(g, g.Param(NewParam("p", 2)), g.Input("x", 2)))
		}, "shape (2), want one number"},
	} {
		_, err := Build(c.f)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

// Detach cuts: what is behind it counts as constant, for kernels that want constants and for those without a Backward,
// and a parameter that is reached in no other way is told.
func TestDetach(t *testing.T) {
	cut, both, w := NewParam("cut", 2, 3), NewParam("both", 2, 3), NewParam("w", 2, 3)
	for i, p := range []*Param{cut, both, w} {
		fillNormal(random(uint64(i)), p.Data())
	}
	var label *Node
	g, err := Build(func(g *Graph) {
		y := Linear(g, g.Param(both), g.Param(w), nil, Sigmoid)
		label = Detach(g, Linear(g, g.Param(cut), g.Param(both), nil, Sigmoid))
		g.Keep(label)
		g.Backward(BinaryCrossEntropy(g, y, Apply(g, noGradient{}, label)))
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if got := g.Unreached(); len(got) != 1 || got[0] != cut {
		t.Errorf("unreached are %v, want the parameter behind Detach", got)
	}
	if p.Grad(cut) != nil || p.Grad(both) == nil || p.Grad(w) == nil {
		t.Error("want gradients for all but the parameter behind Detach")
	}
	if slices.Contains(p.Value(label), 0) {
		t.Errorf("the detached value is %v", p.Value(label))
	}
}

// A Backward that forgets an operand, or its end, is an error of the run that names both; what is in the memory is not
// taken for a gradient.
func TestForgottenGradients(t *testing.T) {
	for _, writes := range []int{0, 5, 6} {
		x, y := NewParam("x", 2, 3), NewParam("y", 2, 3)
		g, err := Build(func(g *Graph) {
			g.Backward(Apply(g, weigh{}, Apply(g, forgetful{writes}, g.Param(x), g.Param(y)), g.Input("w", 2, 3)))
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.Compile()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for range 2 {
			err = p.Run()
			if writes == 6 {
				if err != nil {
					t.Error(err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(),
				fmt.Sprintf("forgetful(%d): Backward did not write the gradient of operand 1", writes)) {
				t.Errorf("%d elements written: got %v", writes, err)
			}
		}
	}
}

// forgetful adds two tensors and writes only so many elements of the second one's gradient.
type forgetful struct{ writes int }

func (f forgetful) String() string             { return fmt.Sprintf("forgetful(%d)", f.writes) }
func (forgetful) Plan(in []Spec) (Plan, error) { return Plan{Out: in[0]}, nil }
func (forgetful) Forward(c *Call)              { sum{}.Forward(c) }
func (f forgetful) Backward(c *Call) {
	copy(c.GradIn[0].F, c.Grad.F)
	copy(c.GradIn[1].F[:f.writes], c.Grad.F)
}

type noGradient struct{}

func (noGradient) String() string               { return "nogradient" }
func (noGradient) Plan(in []Spec) (Plan, error) { return Plan{Out: in[0]}, nil }
func (noGradient) Forward(c *Call)              { copy(c.Out.F, c.In[0].F) }
