package layers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

func TestCloneSharesNoMemory(t *testing.T) {
	m, err := NewModel(cloneConfig(), 3)
	if err != nil {
		t.Fatal(err)
	}
	m.Params.All()[2].Frozen = true
	m.Blocks[0].Attention.Q.W.Fake = &FakeQuant{Scheme: scheme.Int8}
	c, err := m.Clone()
	if err != nil {
		t.Fatal(err)
	}
	from := m.Params.All()
	for i, p := range c.Params.All() {
		if p.Name != from[i].Name || p.Frozen != from[i].Frozen || !slices.Equal(p.Data(), from[i].Data()) {
			t.Fatalf("%s is not copied", p.Name)
		}
		p.Data()[0]++
		if p.Data()[0] == from[i].Data()[0] {
			t.Fatalf("%s shares the original's memory", p.Name)
		}
	}
	if c.Blocks[0].Attention.Q.W.Fake != nil {
		t.Error("a quantiser was copied: it belongs to the original's parameters")
	}
}

// The walk through the weights meets every two-dimensional parameter, as a Matrix unless it is the embedding, the
// convolutions and both tables, in the order of the parameters.
func TestWeightsMeetsEveryWeight(t *testing.T) {
	for _, bridge := range []bool{true, false} {
		config := cloneConfig()
		config.UseScaleBridge = bridge
		m, err := NewModel(config, 3)
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, p := range m.Params.All() {
			role := Matrix
			switch {
			case p.Name == "pos_embed" || strings.HasPrefix(p.Name, "token_embed"):
				role = Table
			case len(p.Shape()) == 3:
				role = Convolution
			case len(p.Shape()) == 1:
				continue
			}
			want = append(want, fmt.Sprint(role, p.Name))
		}
		for _, w := range m.Params.Weights() {
			got = append(got, fmt.Sprint(w.Role, w.Name))
		}
		if !slices.Equal(got, want) {
			t.Errorf("bridge %v: got %v, want %v", bridge, got, want)
		}
	}
}

// A classifier that computes every row of its last block, as calibration needs, gives the same logits.
func TestEveryRowGivesTheSameLogits(t *testing.T) {
	m, err := NewModel(cloneConfig(), 3)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]int32, 2*20)
	for i := range ids {
		ids[i] = int32(i * 7 % 40)
	}
	run := func() []float32 {
		inf, err := m.Infer(2, 20, 0)
		if err != nil {
			t.Fatal(err)
		}
		y, err := inf.Run(ids, nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(y)
	}
	last := run()
	m.EveryRow = true
	for i, y := range run() {
		if d := y - last[i]; d > 1e-5 || d < -1e-5 {
			t.Errorf("logit %d: %v of the last row alone, %v of every row", i, last[i], y)
		}
	}
}

// Further terms of the loss take part in the gradients and are told apart from the cross-entropy.
func TestTermsOfTheLoss(t *testing.T) {
	m, err := NewModel(cloneConfig(), 3)
	if err != nil {
		t.Fatal(err)
	}
	ids, labels := make([]int32, 20), []int32{1}
	pull := func(g *graph.Graph, _ Output) *graph.Node { // mean (γ - 0)² = 1 at γ = 1, with gradient 2/D
		return graph.Drift(g, 1, []*graph.Node{g.Param(m.Head.Norm.Gamma)}, []*graph.Node{g.Input("zero", m.Config.Dim)})
	}
	plain, err := m.Train(1, 20)
	if err != nil {
		t.Fatal(err)
	}
	with, err := m.Train(1, 20, pull)
	if err != nil {
		t.Fatal(err)
	}
	a, err := plain.Run(ids, labels)
	if err != nil {
		t.Fatal(err)
	}
	b, err := with.Run(ids, labels)
	if err != nil {
		t.Fatal(err)
	}
	if a != b || len(plain.Terms()) != 0 || len(with.Terms()) != 1 || with.Terms()[0] != 1 {
		t.Errorf("cross-entropy %v and %v, terms %v and %v", a, b, plain.Terms(), with.Terms())
	}
	for i, g := range with.Program.Grad(m.Head.Norm.Gamma) {
		want := plain.Program.Grad(m.Head.Norm.Gamma)[i] + 2/float32(m.Config.Dim)
		if d := g - want; d > 1e-6 || d < -1e-6 {
			t.Errorf("gradient %d is %v, want %v", i, g, want)
		}
	}
}

func cloneConfig() Config {
	c := Reference()
	c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses, c.EpisodicSlots = 16, 2, 2, 40, 32, 5, 3
	return c
}
