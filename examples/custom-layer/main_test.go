package main

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/layers"
)

// The model with the new layer in its block learns its task: from guessing among 8 classes to right answers.
func TestModelLearns(t *testing.T) {
	trainer, err := curriculum.New(config())
	if err != nil {
		t.Fatal(err)
	}
	var losses []float64
	trainer.Hooks.Step = func(s curriculum.Step) { losses = append(losses, s.Loss) }
	var accuracy curriculum.Accuracy
	trainer.Hooks.Evaluation = func(e curriculum.EpochEvaluation) { accuracy = e.Overall }
	if err := trainer.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	guessing := math.Log(float64(trainer.Config.Model.NumClasses))
	if first := losses[0]; math.Abs(first-guessing) > 0.1 {
		t.Errorf("the loss begins at %.3f, want that of guessing, %.3f", first, guessing)
	}
	if last := losses[len(losses)-1]; last > 1 || accuracy.Mean < 0.9 {
		t.Errorf("the loss ends at %.3f, accuracy %.3f; want at most 1 and at least 0.9", last, accuracy.Mean)
	}
}

// The gradients of the layer, that of its input among them, are those of central differences.
func TestGradients(t *testing.T) {
	ps := layers.NewParams(1)
	l := NewGatedMLP(ps, "gated", 4, 6)
	x := ps.Zeros("x", 2, 3, 4)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, p := range ps.All() {
		for i := range p.Data() {
			p.Data()[i] = float32(rng.NormFloat64())
		}
	}
	var loss *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		y := l.Forward(g, g.Param(x))
		labels := g.InputInts("labels", 2, 3)
		copy(g.Ints(labels), []int32{0, 1, 2, 3, 0, 1})
		loss = graph.CrossEntropy(g, y, labels) // any scalar of y that is not linear in it
		g.Backward(loss)
		g.Keep(loss)
	})
	if err != nil {
		t.Fatal(err)
	}
	program, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	at := func() float64 {
		if err := program.Run(); err != nil {
			t.Fatal(err)
		}
		return float64(program.Value(loss)[0])
	}
	for _, p := range ps.All() {
		for i := range p.Data() {
			was := p.Data()[i]
			const h = 1e-2
			p.Data()[i] = was + h
			above := at()
			p.Data()[i] = was - h
			below := at()
			p.Data()[i] = was
			at()
			got, want := float64(program.Grad(p)[i]), (above-below)/(2*h)
			if math.Abs(got-want) > 1e-3+1e-2*math.Abs(want) {
				t.Errorf("%s[%d]: gradient %.5f, differences give %.5f", p.Name, i, got, want)
			}
		}
	}
}

// A mistake in a graph is one line that names the kernel and the shapes.
func TestShapesThatDoNotFit(t *testing.T) {
	_, err := graph.Build(func(g *graph.Graph) { Product(g, g.Input("x", 2, 3), g.Input("y", 3, 2)) })
	if err == nil || !strings.Contains(err.Error(), "product: got shapes [2 3] and [3 2]") {
		t.Errorf("got %v", err)
	}
}

// A kernel through which no gradient could flow, here for want of a Backward, is refused by name as soon as a parameter
// that is trained stands behind it; graph.Detach says that it is meant.
func TestKernelWithoutBackward(t *testing.T) {
	build := func(behind func(*graph.Graph, *graph.Node) *graph.Node) error {
		_, err := graph.Build(func(g *graph.Graph) {
			w := g.Param(graph.NewParam("w", 2, 3))
			g.Backward(graph.MeanSquaredError(g, w, graph.Apply(g, halved{}, behind(g, w))))
		})
		return err
	}
	err := build(func(_ *graph.Graph, w *graph.Node) *graph.Node { return w })
	if err == nil || !strings.Contains(err.Error(), "halved: operand 0 depends on a parameter") {
		t.Errorf("got %v", err)
	}
	if err := build(graph.Detach); err != nil {
		t.Error(err)
	}
}

type halved struct{}

func (halved) String() string                           { return "halved" }
func (halved) Plan(in []graph.Spec) (graph.Plan, error) { return graph.Plan{Out: in[0]}, nil }
func (halved) Forward(c *graph.Call)                    { vec.Scale(c.Out.F, 0.5, c.In[0].F) }

// The layer's own setting decides its width, and is checked.
func TestOption(t *testing.T) {
	c := config().Model
	m, err := layers.NewModel(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	if w, ok := m.Params.ByName("blocks.0.layers.0.gated_mlp.w1.weight"); !ok || w.Shape()[0] != 2*c.Dim {
		t.Errorf("W₁ is %v", w)
	}
	if got := layers.Total(c.Costs(32)).Parameters; got != m.Parameters() {
		t.Errorf("the costs have %d parameters, the model %d", got, m.Parameters())
	}
	c.Options = map[string]float64{widthOption: 0}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "gated_mlp_width is 0: it must give a width") {
		t.Errorf("got %v", err)
	}
}
