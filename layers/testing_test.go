package layers

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
)

// tiny is a model small enough for tests that still has everything: several heads, blocks and slots, odd widths.
func tiny() Config {
	return Config{
		Dim: 18, Depth: 2, Heads: 3, VocabSize: 40, MaxLen: 64, NumClasses: 7,
		KFrac: 0.3, EpisodicSlots: 5, EpisodicWriteFrac: 0.2, MLPRatio: 2, UseScaleBridge: true,
		SparseThreshold: SparseThreshold,
	}
}

// scrambled is a model all of whose parameters, biases and norms included, are away from their initial values, so that
// none of them can go missing unnoticed.
func scrambled(t testing.TB, c Config) *Model {
	t.Helper()
	m := newModel(t, c)
	rng := rand.New(rand.NewPCG(7, 7))
	for _, p := range m.Params.All() {
		for i := range p.Data() {
			p.Data()[i] += float32(0.15 * rng.NormFloat64())
		}
	}
	return m
}

func newModel(t testing.TB, c Config) *Model {
	t.Helper()
	m, err := NewModel(c, 42)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// near compares two vectors within absolute + relative tolerance.
func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	for i, w := range want {
		if diff := math.Abs(float64(got[i]) - float64(w)); !(diff <= tolerance*(1+math.Abs(float64(w)))) {
			t.Errorf("%s[%d]: got %g, want %g", what, i, got[i], w)
			return
		}
	}
}

// heap is the memory that is reachable, in bytes.
func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// lossOf adds the cross-entropy of logits to g and gives its run.
func lossOf(t *testing.T, batch, tokens int, ids, labels []int32,
	logits func(g *graph.Graph, ids *graph.Node) *graph.Node) (loss float32, p *graph.Program) {
	t.Helper()
	var value *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		in := g.InputInts("ids", batch, tokens)
		out := logits(g, in)
		want := g.InputInts("labels", graph.Shape(out)[:2]...)
		copy(g.Ints(in), ids)
		copy(g.Ints(want), labels)
		value = graph.CrossEntropy(g, out, want)
		g.Backward(value)
		g.Keep(value)
	})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = g.Compile(); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	return p.Value(value)[0], p
}
