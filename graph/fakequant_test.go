package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/quick"
)

// run1 applies f to a parameter and gives the result and the gradient for an upstream of 1, 2, 3, …
func run1(t *testing.T, p *Param, f func(g *Graph, x *Node) *Node) (y, grad []float32) {
	t.Helper()
	var out *Node
	g, err := Build(func(g *Graph) {
		out = f(g, g.Param(p))
		w := g.Input("w", Shape(out)...)
		for i := range g.Floats(w) {
			g.Floats(w)[i] = float32(i + 1)
		}
		g.Keep(out)
		g.Backward(Apply(g, weigh{}, out, w))
	})
	if err != nil {
		t.Fatal(err)
	}
	prog, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	if err := prog.Run(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(prog.Value(out)), slices.Clone(prog.Grad(p))
}

func vector(x ...float32) *Param {
	p := NewParam("x", len(x))
	copy(p.Data(), x)
	return p
}

func expect(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestRoundHalfToEvenStraightThrough(t *testing.T) {
	y, grad := run1(t, vector(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 1.2, -3.7), func(g *Graph, x *Node) *Node { return Round(g, x) })
	expect(t, "values", y, []float32{-2, -2, 0, 0, 2, 2, 1, -4})
	expect(t, "gradient", grad, []float32{1, 2, 3, 4, 5, 6, 7, 8})
}

func TestClampBoundariesAreInside(t *testing.T) {
	y, grad := run1(t, vector(-2, -1, -0.9, 0, 3, 3.1), func(g *Graph, x *Node) *Node { return Clamp(g, x, -1, 3) })
	expect(t, "values", y, []float32{-1, -1, -0.9, 0, 3, 3})
	expect(t, "gradient", grad, []float32{0, 2, 3, 4, 5, 0})
}

func TestClampAgainstFiniteDifferences(t *testing.T) {
	checkKernels(t, []kernelCase{{
		name:     "several tiles",
		operands: []operand{floats(3, elementTile/2)},
		apply:    func(g *Graph, n []*Node) *Node { return Clamp(g, n[0], -0.5, 1) },
		reference: func(in []ref) (y []float64) {
			for _, x := range in[0].f {
				y = append(y, min(max(x, -0.5), 1))
			}
			return y
		},
	}})
}

func TestLevels(t *testing.T) {
	channel := []float32{-9, -1.5, -1.1, -1, -0.6, -0.1, 0, 0.1, 0.9, 1, 1.1, 1.5, 9}
	for _, c := range []struct {
		apply func(*Graph, *Node, *Node) *Node
		want  []float32
	}{
		// Halves go to the even u - 0.5: -1 is halfway between -1.5 and -0.5, 0 between -0.5 and 0.5, 1 between 0.5 and 1.5.
		{FakeQuant2Bit, []float32{-1.5, -1.5, -1.5, -1.5, -0.5, -0.5, 0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 1.5}},
		{FakeQuant7Level, []float32{-1.5, -1.5, -1, -1, -0.5, 0, 0, 0, 1, 1, 1, 1.5, 1.5}},
	} {
		w := NewParam("w", 2, len(channel))
		copy(w.Data(), channel)
		copy(w.Data()[len(channel):], channel)
		steps := NewParam("log step", 2)
		for i := range channel {
			w.Data()[len(channel)+i] *= 4
		}
		steps.Data()[1] = float32(math.Log(4))
		y, _ := run1(t, w, func(g *Graph, x *Node) *Node { return c.apply(g, x, g.Param(steps)) })
		expect(t, "step 1", y[:len(channel)], c.want)
		for i, v := range y[len(channel):] {
			if math.Abs(float64(v-4*c.want[i])) > 1e-6 {
				t.Errorf("step 4: %v becomes %v, want %v", 4*channel[i], v, 4*c.want[i])
			}
		}
	}
}

// The gradients are those of the straight-through form, y = s (clamp(w/s) + r) with the rounding error r held fixed. That
// form has ordinary derivatives, and central differences of it are the reference.
func TestStepGradientsAgainstFiniteDifferences(t *testing.T) {
	for _, c := range []struct {
		levels levelSet
		apply  func(*Graph, *Node, *Node) *Node
		near   func(u float64) float64
	}{
		{fourLevels, FakeQuant2Bit, func(u float64) float64 { return math.RoundToEven(u-0.5) + 0.5 }},
		{sevenLevels, FakeQuant7Level, func(u float64) float64 { return math.RoundToEven(2*u) / 2 }},
	} {
		var residue []float64 // of the first evaluation, at the operands themselves
		checkKernels(t, []kernelCase{{
			name: fmt.Sprint(c.levels, " levels"),
			operands: []operand{floats(5, 3, 7), {shape: []int{5}, fill: func(r *rand.Rand, _ int) float32 {
				return float32(math.Log(0.3 + 0.7*r.Float64()))
			}}},
			apply: func(g *Graph, n []*Node) *Node { return c.apply(g, n[0], n[1]) },
			reference: func(in []ref) (y []float64) {
				first := residue == nil
				for i, w := range in[0].f {
					s := math.Exp(in[1].f[i/21])
					u := min(max(w/s, -1.5), 1.5)
					if first {
						residue = append(residue, c.near(u)-u)
					}
					y = append(y, s*(u+residue[i]))
				}
				return y
			},
		}})
	}
}

// At initialisation the largest weight of each channel is on the boundary: inside, whatever the roundings on the way did.
// So it has a gradient, and pulls nothing at the step.
func TestLargestWeightIsInsideAtInitialisation(t *testing.T) {
	r := random(4)
	for _, size := range []float64{1e-3, 0.02, 1, 300} {
		const channels = 500
		w := NewParam("w", channels, 1)
		for i := range w.Data() {
			w.Data()[i] = float32(size * (0.5 + r.Float64()) * float64(1-2*r.IntN(2)))
		}
		steps := NewParam("log step", channels)
		copy(steps.Data(), InitLogStep(w.Data(), channels))
		var stepGrad []float32
		var out *Node
		g, err := Build(func(g *Graph) {
			out = FakeQuant2Bit(g, g.Param(w), g.Param(steps))
			ones := g.Input("ones", channels, 1)
			for i := range g.Floats(ones) {
				g.Floats(ones)[i] = 1
			}
			g.Keep(out)
			g.Backward(Apply(g, weigh{}, out, ones))
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
		stepGrad = p.Grad(steps)
		for i, v := range p.Grad(w) {
			if v != 1 || math.Abs(float64(stepGrad[i])) > 1e-5*size {
				t.Fatalf("size %v: weight %v, step %v: gradients %v and %v, want 1 and 0", size, w.Data()[i], stepOf(steps.Data()[i]), v, stepGrad[i])
			}
			if math.Abs(float64(p.Value(out)[i]/w.Data()[i])-1) > 1e-5 {
				t.Fatalf("size %v: the largest weight %v becomes %v", size, w.Data()[i], p.Value(out)[i])
			}
		}
	}
}

func TestInitLogStep(t *testing.T) {
	got := InitLogStep([]float32{1, -3, 0, 0, 1e-5, 0}, 3)
	for i, want := range []float64{math.Log(2), math.Log(1e-4), math.Log(1e-4)} {
		if math.Abs(float64(got[i])-want) > 1e-6 {
			t.Errorf("channel %d: %v, want %v", i, got[i], want)
		}
	}
}

func TestStraightThroughOfIntegerQuantisers(t *testing.T) {
	p := NewParam("x", 2, 5)
	fillNormal(random(1), p.Data())
	up := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for name, f := range map[string]func(g *Graph, x *Node) *Node{
		"int4": func(g *Graph, x *Node) *Node { return FakeQuantInt4(g, x, 3) },
		"int8": FakeQuantInt8,
	} {
		_, grad := run1(t, p, f)
		expect(t, name, grad, up)
	}
}

// matrix is a random matrix of quick's choosing, with ordinary, tiny and constant rows.
type matrix struct {
	w           []float32
	cols, group int
}

// Generate implements quick.Generator (which has the older random generator).
func (matrix) Generate(r *quickRand, _ int) reflect.Value {
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

var quickly = &quick.Config{MaxCount: 300, Rand: quickSource()}

// What int4 gives back is at most half a step away (plus what cancels in (q - zero) scale), and the codes are in range.
func TestInt4ErrorIsHalfAStep(t *testing.T) {
	if err := quick.Check(func(m matrix) bool {
		q, err := QuantizeInt4(m.w, m.cols, m.group)
		if err != nil || len(q.Scales) != len(m.w)/m.cols*tiles(m.cols, m.group) {
			return false
		}
		for i, back := range q.Dequantize() {
			g := i/m.cols*tiles(m.cols, m.group) + i%m.cols/m.group
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
		for i, back := range q.Dequantize() {
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

// The 2-bit codes stand for what the fake quantiser computes, and quantising that again changes nothing.
func TestCodesOf2Bit(t *testing.T) {
	if err := quick.Check(func(m matrix) bool {
		logStep := InitLogStep(m.w, len(m.w)/m.cols)
		codes := Quantize2Bit(m.w, logStep)
		back := Dequantize2Bit(codes, logStep)
		return slices.Max(codes) <= 3 && slices.Equal(Quantize2Bit(back, logStep), codes)
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
		f    func(g *Graph)
		want string
	}{
		"group":    {func(g *Graph) { FakeQuantInt4(g, g.Input("w", 2, 3), 0) }, "group size 0"},
		"log step": {func(g *Graph) { FakeQuant2Bit(g, g.Input("w", 2, 3), g.Input("s", 3)) }, "got log step [3], want [2]"},
		"vector":   {func(g *Graph) { FakeQuant2Bit(g, g.Input("w", 2), g.Input("s", 2)) }, "[out, ...]"},
		"limits":   {func(g *Graph) { Clamp(g, g.Input("w", 2), 1, 0) }, "lower first"},
		"integers": {func(g *Graph) { Round(g, g.InputInts("w", 2)) }, "integers"},
	} {
		if _, err := Build(c.f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

// What is not a number stays so: a fake quantiser must not turn a diverged weight into a good one.
func TestFakeQuantisersPassNaNOn(t *testing.T) {
	p := NewParam("x", 1, 3)
	copy(p.Data(), []float32{1, float32(math.NaN()), 2})
	steps := NewParam("s", 1)
	for name, f := range map[string]func(g *Graph, x *Node) *Node{
		"int4":  func(g *Graph, x *Node) *Node { return FakeQuantInt4(g, x, 3) },
		"int8":  FakeQuantInt8,
		"2 bit": func(g *Graph, x *Node) *Node { return FakeQuant2Bit(g, x, g.Param(steps)) },
		"round": Round,
		"clamp": func(g *Graph, x *Node) *Node { return Clamp(g, x, 0, 1) },
	} {
		if y, _ := run1(t, p, f); y[1] == y[1] {
			t.Errorf("%s makes %v of NaN", name, y[1])
		}
	}
}
