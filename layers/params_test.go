package layers

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// The parameters carry the names and shapes of the reference's state dict, which are those in its golden files.
func TestNamesAreTheReferences(t *testing.T) {
	for file, bridge := range map[string]bool{"model-dense": true, "model-nobridge": false} {
		f, err := safetensors.Read("../experiments/conform/testdata/" + file + ".safetensors")
		if err != nil {
			t.Fatal(err)
		}
		c := Reference()
		c.Dim, c.Depth, c.VocabSize, c.MaxLen, c.NumClasses, c.Heads, c.EpisodicSlots = 32, 2, 96, 64, 16, 4, 6
		c.UseScaleBridge = bridge
		m := newModel(t, c)
		var want, got []string
		for _, tensor := range f.Tensors {
			if name, ok := strings.CutPrefix(tensor.Name, "w."); ok {
				want = append(want, name)
				p, ok := m.Params.ByName(name)
				if ok && !slices.Equal(p.Shape(), tensor.Shape) {
					t.Errorf("%s: %s has shape %v, want %v", file, name, p.Shape(), tensor.Shape)
				}
			}
		}
		for _, p := range m.Params.All() {
			got = append(got, p.Name)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", file, got, want)
		}
	}
}

// Initial weights are N(0, 0.02²), convolutions uniform in ±1/3, biases 0, norms 1 and 0 (SPEC section 1).
func TestInitialDistribution(t *testing.T) {
	c := tiny()
	c.Dim, c.Heads, c.VocabSize, c.MaxLen = 96, 3, 500, 200
	m := newModel(t, c)
	for _, p := range m.Params.All() {
		switch {
		case strings.Contains(p.Name, "dwconv"):
			uniform(t, p)
		case strings.HasSuffix(p.Name, ".weight") && len(p.Shape()) == 1:
			constant(t, p, 1) // the scale of a LayerNorm
		case strings.HasSuffix(p.Name, ".bias"):
			constant(t, p, 0)
		default:
			normal(t, p)
		}
	}
}

func constant(t *testing.T, p *graph.Param, want float32) {
	for i, x := range p.Data() {
		if x != want {
			t.Fatalf("%s[%d] is %g, want %g", p.Name, i, x, want)
		}
	}
}

// normal checks mean, deviation and tails within five standard errors.
func normal(t *testing.T, p *graph.Param) {
	n := float64(p.Size())
	var sum, square, tail float64
	for _, x := range p.Data() {
		z := float64(x) / 0.02
		sum += z
		square += z * z
		if math.Abs(z) > 2 {
			tail++
		}
	}
	const beyondTwo = 0.0455 // share of a normal distribution
	if math.Abs(sum/n) > 5/math.Sqrt(n) || math.Abs(square/n-1) > 5*math.Sqrt(2/n) || math.Abs(tail/n-beyondTwo) > 5*
		math.Sqrt(beyondTwo/n) {
		t.Errorf("%s is not N(0, 0.02²): mean %.3f, variance %.3f, beyond two %.4f (in units of 0.02)", p.Name, sum/n,
			square/n, tail/n)
	}
}

func uniform(t *testing.T, p *graph.Param) {
	n := float64(p.Size())
	var sum, square float64
	for i, x := range p.Data() {
		if math.Abs(float64(x)) > 1.0/3 {
			t.Fatalf("%s[%d] is %g, want within ±1/3", p.Name, i, x)
		}
		sum += float64(x) * 3
		square += float64(x) * float64(x) * 9
	}
	if math.Abs(sum/n) > 5*math.Sqrt(1.0/3/n) || math.Abs(square/n-1.0/3) > 5*math.Sqrt(4.0/45/n) {
		t.Errorf("%s is not uniform in ±1/3: mean %.3f, variance %.3f (in units of 1/3)", p.Name, sum/n, square/n)
	}
}

// The seed fixes the initial weights, all of them.
func TestSeedFixesTheWeights(t *testing.T) {
	a, b := newModel(t, tiny()), newModel(t, tiny())
	c, err := NewModel(tiny(), 43)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range a.Params.All() {
		if !slices.Equal(p.Data(), b.Params.All()[i].Data()) {
			t.Errorf("%s differs between two models of one seed", p.Name)
		}
		random := p.Data()[0] != 0 && p.Data()[0] != 1
		if random && slices.Equal(p.Data(), c.Params.All()[i].Data()) {
			t.Errorf("%s is the same for two seeds", p.Name)
		}
	}
}

// Two parameters of one name would overwrite each other in a file: that is a mistake in a layer, found at once.
func TestNamesAreUnique(t *testing.T) {
	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(string), "a.weight") {
			t.Errorf("a second a.weight: %v", r)
		}
	}()
	ps := NewParams(1)
	NewLinear(ps, "a", 2, 2, false)
	NewLinear(ps, "a", 2, 2, false)
}
