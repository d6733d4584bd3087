package layers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// gated is a layer from outside: a Linear, and a weight of its own.
type gated struct {
	gate *layers.Linear
	w    *layers.Weight
}

func newGated(ps *layers.Params, name string, dim int) *gated {
	return &gated{
		layers.NewLinear(ps, name+".gate", dim, dim, false),
		layers.NewWeight(ps, name+".w", layers.Matrix, ps.Normal, dim, dim),
	}
}

func (l *gated) Forward(g *graph.Graph, x *graph.Node) *graph.Node {
	return graph.Product(g, l.gate.Forward(g, x, graph.Sigmoid), l.w.Linear(g, x, nil, graph.Identity))
}

// A layer from outside takes part in the walk, and its weights can be quantised: what it computes through a quantiser
// is what it computes from the packed bytes.
func TestLayersFromOutsideTakePart(t *testing.T) {
	const dim = 16
	ps := layers.NewParams(1)
	l := newGated(ps, "blocks.3.own", dim)
	var names []string
	for _, w := range ps.Weights() {
		names = append(names, w.Name)
		w.Fake = &layers.FakeQuant{Scheme: scheme.Int8}
	}
	if want := []string{"blocks.3.own.gate.weight", "blocks.3.own.w"}; !slices.Equal(names, want) {
		t.Fatalf("the walk meets %v, want %v", names, want)
	}
	forward := func() []float32 {
		var y *graph.Node
		g, err := graph.Build(func(g *graph.Graph) {
			x := g.Input("x", 1, 20, dim)
			for i := range g.Floats(x) {
				g.Floats(x)[i] = float32(i%7) - 3
			}
			y = l.Forward(g, x)
			g.Keep(y)
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		return p.Value(y)
	}
	simulated := forward()
	for _, w := range ps.Weights() {
		packed, err := w.Pack()
		if err != nil {
			t.Fatal(err)
		}
		w.Packed = packed
	}
	for i, y := range forward() {
		if d := y - simulated[i]; d > 1e-6 || d < -1e-6 {
			t.Fatalf("element %d: %g packed, %g simulated", i, y, simulated[i])
		}
	}
	_, err := graph.Build(func(g *graph.Graph) { l.w.Node(g) })
	if err == nil || !strings.Contains(err.Error(), "weight blocks.3.own.w is packed as int8") {
		t.Errorf("got %v", err)
	}
}

func TestInBlock(t *testing.T) {
	for name, want := range map[string]struct {
		block  int
		inside string
	}{
		"blocks.12.ff.1.weight": {12, "ff.1.weight"},
		"head.weight":           {layers.Outside, "head.weight"},
		"blocks.x.w":            {layers.Outside, "blocks.x.w"},
		"blocks.":               {layers.Outside, "blocks."},
	} {
		if block, inside := layers.InBlock(name); block != want.block || inside != want.inside {
			t.Errorf("%s: block %d, %q, want %d, %q", name, block, inside, want.block, want.inside)
		}
	}
}
