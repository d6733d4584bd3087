package graph

import (
	"fmt"
	"math"
	"testing"
)

// refGRU is one step, one sequence and one element at a time.
func refGRU(in []ref) []float64 {
	x, w, bias := in[0], in[1], in[2].f
	length, d := x.dim(1), w.dim(1)
	var y []float64
	for b := range x.dim(0) {
		h := make([]float64, d)
		for t := range length {
			at := x.f[(b*length+t)*3*d:]
			recurrent := func(gate, j int) float64 {
				p := bias[gate*d+j]
				for i := range d {
					p += w.f[(gate*d+j)*d+i] * h[i]
				}
				return p
			}
			next := make([]float64, d)
			for j := range d {
				r := 1 / (1 + math.Exp(-at[j]-recurrent(0, j)))
				z := 1 / (1 + math.Exp(-at[d+j]-recurrent(1, j)))
				n := math.Tanh(at[2*d+j] + r*recurrent(2, j))
				next[j] = (1-z)*n + z*h[j]
			}
			h = next
			y = append(y, h...)
		}
	}
	return y
}

func gruCase(b, length, d int) kernelCase {
	return kernelCase{
		name:      fmt.Sprintf("[%d %d %d]", b, length, d),
		operands:  []operand{floats(b, length, 3*d), {shape: []int{3 * d, d}, fill: uniform(-0.6, 0.6)}, floats(3 * d)},
		apply:     func(g *Graph, n []*Node) *Node { return GRU(g, n[0], n[1], n[2]) },
		reference: refGRU,
	}
}

func TestGRU(t *testing.T) {
	frozen := gruCase(2, 4, 3)
	frozen.name, frozen.operands[1].frozen = "frozen weights", true
	inputs := gruCase(2, 4, 3)
	inputs.name, inputs.operands[0].frozen = "no gradient of the input", true
	checkKernels(t, []kernelCase{
		gruCase(1, 1, 1), gruCase(3, 1, 4), gruCase(2, 12, 5), gruCase(2*gruRows+1, 9, 4), gruCase(1, 40, weightRows/3+3),
		frozen, inputs,
	})
}

// Without input and biases the state stays zero; a closed gate z keeps it as it is.
func TestGRUGates(t *testing.T) {
	const length, d = 6, 3
	w, b := NewParam("w", 3*d, d), NewParam("b", 3*d)
	for j := range d {
		b.Data()[d+j] = 40 // z = 1
	}
	var x, h *Node
	g, err := Build(func(g *Graph) {
		x = g.Input("x", 1, length, 3*d)
		h = GRU(g, x, g.Param(w), g.Param(b))
		g.Keep(h)
	})
	if err != nil {
		t.Fatal(err)
	}
	for j := range d {
		g.Floats(x)[d+j] = -80   // z = 0 at the first token, which is therefore stored …
		g.Floats(x)[2*d+j] = 0.5 // … as tanh(0.5)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	for i, v := range p.Value(h) {
		if math.Abs(float64(v)-math.Tanh(0.5)) > 1e-6 {
			t.Fatalf("h[%d] = %g, want tanh(0.5)", i, v)
		}
	}
}

func TestGRURefusesShapes(t *testing.T) {
	for want, shapes := range map[string][3][]int{
		"want [B, T, 3D]":        {{1, 2, 7}, {6, 2}, {6}},
		"recurrent weight [6 3]": {{1, 2, 6}, {6, 3}, {6}},
		"recurrent bias [5]":     {{1, 2, 6}, {6, 2}, {5}},
	} {
		expectBuildError(t, want, func(g *Graph) {
			GRU(g, g.Input("x", shapes[0]...), g.Input("w", shapes[1]...), g.Input("b", shapes[2]...))
		})
	}
}

func BenchmarkGRU(b *testing.B) {
	const batch, length, d = 4, 1024, 252
	w, bias, x := NewParam("w", 3*d, d), NewParam("b", 3*d), NewParam("x", batch, length, 3*d)
	r := random(1)
	fillNormal(r, x.Data())
	for i := range w.Data() {
		w.Data()[i] = uniform(-0.06, 0.06)(r, i)
	}
	for _, train := range []bool{false, true} {
		b.Run(fmt.Sprintf("train=%t", train), func(b *testing.B) {
			g, err := Build(func(g *Graph) {
				h := GRU(g, g.Param(x), g.Param(w), g.Param(bias))
				if !train {
					g.Keep(h)
					return
				}
				weights := g.Input("weights", Shape(h)...)
				fillNormal(r, g.Floats(weights))
				loss := Apply(g, weigh{}, h, weights)
				g.Backward(loss)
			})
			if err != nil {
				b.Fatal(err)
			}
			p, err := g.Compile()
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := p.Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What the way back through many steps has made too small to be seen is 0, not a subnormal number, with which products
// are slow.
func TestGRUGradientsEnd(t *testing.T) {
	const d = 3
	delta, dx, e := []float32{1e-30, -1e-26, 1e-20}, make([]float32, 3*d), make([]float32, 3*d)
	gruStepGrad(delta, dx, e, []float32{0.1, 0.2, 0.3}, []float32{0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.2, 0.2, 0.2, 0.4, 0.4,
		0.4})
	for _, x := range [][]float32{delta, dx[:d], dx[d : 2*d], dx[2*d:], e[:d], e[d : 2*d], e[2*d:]} {
		if x[0] != 0 || x[1] != 0 || x[2] == 0 {
			t.Errorf("gradients %v of 1e-30, -1e-26 and 1e-20, want two zeros", x)
		}
	}
}
