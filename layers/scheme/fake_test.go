package scheme

import (
	"math"
	oldrand "math/rand" // testing/quick wants it
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/synapnet/synapnet-train/graph"
)

func TestLevels(t *testing.T) {
	channel := []float32{-9, -1.5, -1.1, -1, -0.6, -0.1, 0, 0.1, 0.9, 1, 1.1, 1.5, 9}
	for _, c := range []struct {
		of   *Scheme
		want []float32
	}{
		// Halves go to the even u - 0.5: -1 is halfway between -1.5 and -0.5, 0 between -0.5 and 0.5, 1 between 0.5 and 1.5.
		{SEQ2, []float32{-1.5, -1.5, -1.5, -1.5, -0.5, -0.5, 0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 1.5}},
		{Paper7, []float32{-1.5, -1.5, -1, -1, -0.5, 0, 0, 0, 1, 1, 1, 1.5, 1.5}},
	} {
		w := graph.NewParam("w", 2, len(channel))
		copy(w.Data(), channel)
		copy(w.Data()[len(channel):], channel)
		steps := graph.NewParam("log step", 2)
		for i := range channel {
			w.Data()[len(channel)+i] *= 4
		}
		steps.Data()[1] = float32(math.Log(4))
		y := evaluate(t, func(g *graph.Graph) *graph.Node { return c.of.Fake(g, g.Param(w), g.Param(steps), Settings{}) })
		if !slices.Equal(y[:len(channel)], c.want) {
			t.Errorf("%s, step 1: got %v, want %v", c.of.Name, y[:len(channel)], c.want)
		}
		for i, v := range y[len(channel):] {
			if math.Abs(float64(v-4*c.want[i])) > 1e-6 {
				t.Errorf("step 4: %v becomes %v, want %v", 4*channel[i], v, 4*c.want[i])
			}
		}
	}
}

// At initialisation the largest weight of each channel is on the boundary: inside, whatever the roundings on the way
// did. So it has a gradient, and pulls nothing at the step.
func TestLargestWeightIsInsideAtInitialisation(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	for _, size := range []float64{1e-3, 0.02, 1, 300} {
		const channels = 500
		w := graph.NewParam("w", channels, 1)
		for i := range w.Data() {
			w.Data()[i] = float32(size * (0.5 + r.Float64()) * float64(1-2*r.IntN(2)))
		}
		steps := graph.NewParam("log step", channels)
		copy(steps.Data(), fourLevels.initial(w.Data(), channels, false))
		ones := slices.Repeat([]float32{1}, channels)
		p, y := differentiate(t, func(g *graph.Graph) *graph.Node {
			return SEQ2.Fake(g, g.Param(w), g.Param(steps), Settings{})
		}, ones)
		stepGrad := p.Grad(steps)
		for i, v := range p.Grad(w) {
			if v != 1 || math.Abs(float64(stepGrad[i])) > 1e-5*size {
				t.Fatalf("size %v: weight %v, step %v: gradients %v and %v, want 1 and 0", size, w.Data()[i],
					stepOf(steps.Data()[i]), v, stepGrad[i])
			}
			if math.Abs(float64(y[i]/w.Data()[i])-1) > 1e-5 {
				t.Fatalf("size %v: the largest weight %v becomes %v", size, w.Data()[i], y[i])
			}
		}
	}
}

func TestInitialSteps(t *testing.T) {
	got := fourLevels.initial([]float32{1, -3, 0, 0, 1e-5, 0}, 3, false)
	for i, want := range []float64{math.Log(2), math.Log(1e-4), math.Log(1e-4)} {
		if math.Abs(float64(got[i])-want) > 1e-6 {
			t.Errorf("channel %d: %v, want %v", i, got[i], want)
		}
	}
}

// matrix is a random matrix of quick's choosing, with ordinary, tiny and constant rows.
type matrix struct {
	w           []float32
	cols, group int
}

// Generate implements quick.Generator (which has the older random generator).
func (matrix) Generate(r *oldrand.Rand, _ int) reflect.Value {
	m := matrix{cols: 1 + r.Intn(70), group: 1 + r.Intn(80)}
	for range 1 + r.Intn(6) {
		scale := math.Pow(10, float64(r.Intn(8)-4))
		if r.Intn(5) == 0 {
			scale = 0
		}
		for range m.cols {
			m.w = append(m.w, float32(r.NormFloat64()*scale))
		}
	}
	return reflect.ValueOf(m)
}

var quickly = &quick.Config{MaxCount: 300, Rand: oldrand.New(oldrand.NewSource(1))}

// What int4 gives back is at most half a step away (plus what cancels in (q - zero) scale), and the codes are in range.
func TestInt4ErrorIsHalfAStep(t *testing.T) {
	if err := quick.Check(func(m matrix) bool {
		q, err := QuantizeInt4(m.w, m.cols, m.group)
		if err != nil || len(q.Scales) != len(m.w)/m.cols*((m.cols+m.group-1)/m.group) {
			return false
		}
		for i, back := range q.Dequantize() {
			g := i/m.cols*((m.cols+m.group-1)/m.group) + i%m.cols/m.group
			slack := 1e-6 * math.Abs(float64(m.w[i])) * 4
			slack += 1e-6 * math.Abs(float64(q.Zeros[g])*float64(q.Scales[g]))
			if q.Codes[i] < 0 || q.Codes[i] > 15 || math.Abs(float64(back-m.w[i])) > 0.5*float64(q.Scales[g])+slack {
				t.Logf("%v came back as %v, scale %v", m.w[i], back, q.Scales[g])
				return false
			}
		}
		return true
	}, quickly); err != nil {
		t.Error(err)
	}
}

// Half a step of int8, and the half-precision scale's own error of 2^-11 times the code where it is a normal number.
func TestInt8Error(t *testing.T) {
	if err := quick.Check(func(m matrix) bool {
		q, err := QuantizeInt8(m.w, m.cols)
		if err != nil {
			return false
		}
		for i, code := range q.Codes {
			back := float32(code) * q.Scales[i/m.cols].Float32()
			scale := float64(q.Scales[i/m.cols].Float32())
			bound := 0.5 * scale
			if scale >= leastNormalHalf {
				bound += math.Abs(float64(q.Codes[i])) * scale * 0x1p-11
			}
			if math.Abs(float64(back-m.w[i])) > bound*(1+1e-5) {
				t.Logf("%v came back as %v, scale %v", m.w[i], back, scale)
				return false
			}
		}
		return true
	}, quickly); err != nil {
		t.Error(err)
	}
}

func TestQuantisersRefuse(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	_, err4 := QuantizeInt4([]float32{1, nan}, 2, 2)
	_, shape4 := QuantizeInt4([]float32{1, 2, 3}, 2, 2)
	_, group4 := QuantizeInt4([]float32{1, 2}, 2, 0)
	_, err8 := QuantizeInt8([]float32{1, inf}, 2)
	_, shape8 := QuantizeInt8([]float32{1, 2, 3}, 2)
	_, large8 := QuantizeInt8([]float32{0, 1, 1e7, 0}, 2)
	for _, c := range []struct {
		err  error
		want string
	}{
		{err4, "not finite"}, {shape4, "whole rows"}, {group4, "groups of 0"},
		{err8, "not finite"}, {shape8, "whole rows"}, {large8, "row 1"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", c.err, c.want)
		}
	}
	for name, c := range map[string]struct {
		f    func(g *graph.Graph)
		want string
	}{
		"group": {func(g *graph.Graph) { Int4Float32.Fake(g, g.Input("w", 2, 3), nil, Settings{}) }, "group size 0"},
		"log step": {func(g *graph.Graph) { SEQ2.Fake(g, g.Input("w", 2, 3), g.Input("s", 3), Settings{}) },
			"got log step [3], want [2]"},
		"vector":   {func(g *graph.Graph) { SEQ2.Fake(g, g.Input("w", 2), g.Input("s", 2), Settings{}) }, "[out, ...]"},
		"integers": {func(g *graph.Graph) { FakeInt8(g, g.InputInts("w", 2)) }, "floating point"},
	} {
		if _, err := graph.Build(c.f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

// What is not a number stays so: a fake quantiser must not turn a diverged weight into a good one.
func TestFakePassesNaNOn(t *testing.T) {
	w := param("w", []float32{1, float32(math.NaN()), 2}, 1, 3)
	for _, of := range All() {
		if y := evaluate(t, func(g *graph.Graph) *graph.Node { return fake(g, of, w, Settings{Group: 3}) }); y[1] == y[1] {
			t.Errorf("%s makes %v of NaN", of.Name, y[1])
		}
	}
}

// The initial step with the least squared error is never worse than the one at which nothing is clipped.
func TestLeastSquaresStepsAreNoWorse(t *testing.T) {
	for _, levels := range []levelSet{fourLevels, sevenLevels} {
		better := 0
		property := func(seed uint64) bool {
			r := rand.New(rand.NewPCG(seed, 2))
			w := make([]float32, 2*96)
			for i := range w {
				w[i] = float32(r.NormFloat64() * 0.02)
			}
			start := levels.initial(w, 2, false)
			best := levels.initial(w, 2, true)
			for ch := range start {
				a := levels.squaredError(w[ch*96:(ch+1)*96], math.Exp(float64(start[ch])))
				b := levels.squaredError(w[ch*96:(ch+1)*96], math.Exp(float64(best[ch])))
				if b > a {
					return false
				}
				if b < 0.9*a {
					better++
				}
			}
			return true
		}
		if err := quick.Check(property, &quick.Config{MaxCount: 30}); err != nil {
			t.Error(err)
		}
		if levels == fourLevels && better == 0 {
			t.Error("no channel got better: the search does nothing")
		}
	}
}
