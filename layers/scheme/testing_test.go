package scheme

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
)

func gaussian(rng *rand.Rand, n int, sigma float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(sigma * rng.NormFloat64())
	}
	return x
}

func param(name string, data []float32, shape ...int) *graph.Param {
	p := graph.NewParam(name, shape...)
	copy(p.Data(), data)
	return p
}

// program compiles the graph of one kept node.
func program(t testing.TB, build func(g *graph.Graph) *graph.Node) *graph.Program {
	t.Helper()
	g, err := graph.Build(func(g *graph.Graph) { g.Keep(build(g)) })
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// evaluate computes one node.
func evaluate(t testing.TB, build func(g *graph.Graph) *graph.Node) []float32 {
	t.Helper()
	var y *graph.Node
	p := program(t, func(g *graph.Graph) *graph.Node {
		y = build(g)
		return y
	})
	defer p.Close()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(p.Value(y))
}

// differentiate computes one node and the gradients of what it depends on, given its own.
func differentiate(t testing.TB, build func(g *graph.Graph) *graph.Node,
	upstream []float32) (*graph.Program, []float32) {
	t.Helper()
	var y *graph.Node
	p := program(t, func(g *graph.Graph) *graph.Node {
		y = build(g)
		u := g.Input("upstream", graph.Shape(y)...)
		copy(g.Floats(u), upstream)
		g.Backward(graph.Apply(g, inner{}, y, u))
		return y
	})
	t.Cleanup(func() { p.Close() })
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	return p, p.Value(y)
}

// inner is Σ x ⊙ u with the gradient of x only.
type inner struct{}

func (inner) String() string { return "inner" }
func (inner) Plan([]graph.Spec) (graph.Plan, error) {
	return graph.Plan{Out: graph.Spec{Shape: []int{1}}, Constant: []int{1}}, nil
}
func (inner) Forward(c *graph.Call) {
	c.Out.F[0] = 0
	for i, u := range c.In[1].F {
		c.Out.F[0] += u * c.In[0].F[i]
	}
}
func (inner) Backward(c *graph.Call) { copy(c.GradIn[0].F, c.In[1].F) }

// fake is the simulation of w, with the steps that it begins with if the scheme has any, and of the settings those
// that it has.
func fake(g *graph.Graph, of *Scheme, w *graph.Param, s Settings) *graph.Node {
	if of.Check == nil {
		s = Settings{}
	}
	if of.Steps == nil {
		return of.Fake(g, g.Param(w), nil, s)
	}
	rows := w.Shape()[0]
	return of.Fake(g, g.Param(w), g.Param(param("log step", of.Steps.Initial(w.Data(), rows, false), rows)), s)
}

// storedStepsOf are the steps that clip nothing as a file holds them; nil for a scheme without steps.
func storedStepsOf(t testing.TB, spec Spec, w []float32) []float32 {
	t.Helper()
	of, err := Lookup(spec.Scheme)
	if err != nil {
		t.Fatal(err)
	}
	if of.Steps == nil {
		return nil
	}
	m, err := spec.Matrix()
	if err != nil {
		t.Fatal(err)
	}
	steps, err := of.Steps.Stored(of.Steps.Initial(w, m.Rows, false))
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func packAs(of *Scheme, w []float32, shape []int, s Settings) (*Packed, error) {
	return Pack(Spec{of.Name, shape, s}, w, nil)
}

func packSteps(w []float32, shape []int, logStep []float32) (*Packed, error) {
	return Pack(Spec{Scheme: SEQ2.Name, Shape: shape}, w, logStep)
}
