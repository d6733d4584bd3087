package graph

import (
	"fmt"
	"math"
	"testing"
)

func refCausalConv(in []ref) []float64 {
	x, w, b := in[0], in[1], in[2].f
	length, d, k := x.dim(1), x.dim(2), w.dim(2)
	y := make([]float64, len(x.f))
	for s := range x.dim(0) {
		for t := range length {
			for j := range d {
				p := b[j]
				for i := range k {
					if u := t - k + 1 + i; u >= 0 {
						p += w.f[j*k+i] * x.f[(s*length+u)*d+j]
					}
				}
				y[(s*length+t)*d+j] = p / (1 + math.Exp(-p))
			}
		}
	}
	return y
}

func TestCausalConv(t *testing.T) {
	of := func(b, length, d, k int) kernelCase {
		return kernelCase{
			name:      fmt.Sprintf("[%d %d %d] kernel %d", b, length, d, k),
			operands:  []operand{floats(b, length, d), floats(d, 1, k), floats(d)},
			apply:     func(g *Graph, n []*Node) *Node { return CausalConv(g, n[0], n[1], n[2]) },
			reference: refCausalConv,
		}
	}
	checkKernels(t, []kernelCase{of(2, 20, 5, 4), of(2, 2, 4, 4), of(3, 1, 4, 3), of(1, 5, 3, 1), of(2, rowTile+2, 3, 4),
		of(1, 2*rowTile+3, 2, 2)})
	expectBuildError(t, "want [3, 1, K]", func(g *Graph) {
		CausalConv(g, g.Input("x", 1, 2, 3), g.Input("w", 3, 4), g.Input("b", 3))
	})
}

// refScan is the recurrence, token by token, state element by state element.
func refScan(in []ref, n int) []float64 {
	xbc, dt, bias, aLog, skip := in[0], in[1], in[2].f, in[3].f, in[4].f
	length, width, heads := xbc.dim(1), xbc.dim(2), dt.dim(2)
	inner := width - 2*n
	dim := inner / heads
	y := make([]float64, xbc.dim(0)*length*inner)
	for b := range xbc.dim(0) {
		for h := range heads {
			state := make([]float64, n*dim)
			for t := range length {
				row := xbc.f[(b*length+t)*width : (b*length+t+1)*width]
				x, bs, cs := row[h*dim:(h+1)*dim], row[inner:inner+n], row[inner+n:]
				delta := math.Log(1 + math.Exp(dt.f[(b*length+t)*heads+h]+bias[h]))
				decay := math.Exp(-math.Exp(aLog[h]) * delta)
				out := y[(b*length+t)*inner+h*dim:]
				for p := range dim {
					out[p] = skip[h] * x[p]
					for i := range n {
						state[i*dim+p] = decay*state[i*dim+p] + delta*bs[i]*x[p]
						out[p] += cs[i] * state[i*dim+p]
					}
				}
			}
		}
	}
	return y
}

func scanCase(b, length, heads, dim, n int) kernelCase {
	return kernelCase{
		name: fmt.Sprintf("[%d %d] %d heads of %d, state %d", b, length, heads, dim, n),
		operands: []operand{
			{shape: []int{b, length, heads*dim + 2*n}, fill: uniform(-0.9, 0.9)}, floats(b, length, heads),
			{shape: []int{heads}, fill: uniform(-3, 0)}, {shape: []int{heads}, fill: uniform(-2, 0.5)}, floats(heads),
		},
		apply:     func(g *Graph, x []*Node) *Node { return SelectiveScan(g, x[0], x[1], x[2], x[3], x[4], n) },
		reference: func(in []ref) []float64 { return refScan(in, n) },
	}
}

func TestSelectiveScan(t *testing.T) {
	slow := scanCase(1, 3*scanChunk, 2, 3, 4) // a state that lasts over chunks
	slow.name, slow.operands[3].fill = "slow decay", uniform(-6, -5)
	fast := scanCase(1, scanChunk+9, 2, 2, 3) // and one that is gone at once
	fast.name, fast.operands[3].fill = "fast decay", uniform(3, 4)
	fixed := scanCase(2, scanChunk+3, 2, 3, 2)
	fixed.name, fixed.operands[0].frozen, fixed.operands[3].frozen = "no gradient of x, B, C and the rate", true, true
	checkKernels(t, []kernelCase{
		scanCase(1, 1, 1, 1, 1), scanCase(2, 7, 3, 2, 4), scanCase(1, scanChunk, 1, 3, 2), scanCase(2, scanChunk+1, 2, 3, 5),
		scanCase(1, 2*scanChunk+11, 3, 4, 3), slow, fast, fixed,
	})
}

// The state before the last chunk carries the first token to the last one, with the weight that the recurrence gives
// it.
func TestSelectiveScanRemembers(t *testing.T) {
	const length = 4*scanChunk + 5
	var xbc, dt, y *Node
	g, err := Build(func(g *Graph) {
		xbc, dt = g.Input("xbc", 1, length, 3), g.Input("dt", 1, length, 1)
		y = SelectiveScan(g, xbc, dt, g.Input("bias", 1), g.Input("a", 1), g.Input("skip", 1), 1)
		g.Keep(y)
	})
	if err != nil {
		t.Fatal(err)
	}
	copy(g.Floats(xbc), []float32{3, 1}) // x and B of the first token
	for i := range length {
		g.Floats(xbc)[3*i+2] = 1 // C
		g.Floats(dt)[i] = -5
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	delta := math.Log1p(math.Exp(-5))
	want := 3 * delta * math.Exp(-delta*(length-1))
	if got := float64(p.Value(y)[length-1]); math.Abs(got-want) > 1e-5*want {
		t.Errorf("got %g, want %g", got, want)
	}
}

func TestSelectiveScanRefusesShapes(t *testing.T) {
	for want, c := range map[string]struct {
		xbc, dt, head []int
		state         int
	}{
		"got dt [1 3 2], want [1, 2, H]":      {[]int{1, 2, 8}, []int{1, 3, 2}, []int{2}, 2},
		"state of 4 and 2 heads":              {[]int{1, 2, 8}, []int{1, 2, 2}, []int{2}, 4},
		"state of 0":                          {[]int{1, 2, 8}, []int{1, 2, 2}, []int{2}, 0},
		"parameter of the heads [3], want [2": {[]int{1, 2, 8}, []int{1, 2, 2}, []int{3}, 2},
	} {
		expectBuildError(t, want, func(g *Graph) {
			SelectiveScan(g, g.Input("xbc", c.xbc...), g.Input("dt", c.dt...), g.Input("bias", c.head...),
				g.Input("a", c.head...), g.Input("skip", c.head...), c.state)
		})
	}
}

func BenchmarkSelectiveScan(b *testing.B) {
	const batch, length, heads, dim, state = 4, 1024, 6, 88, 64
	xbc, dt := NewParam("xbc", batch, length, heads*dim+2*state), NewParam("dt", batch, length, heads)
	bias, rate, skip := NewParam("bias", heads), NewParam("a", heads), NewParam("skip", heads)
	r := random(1)
	fillNormal(r, xbc.Data())
	fillNormal(r, dt.Data())
	for i := range bias.Data() {
		bias.Data()[i] = -4
	}
	g, err := Build(func(g *Graph) {
		y := SelectiveScan(g, g.Param(xbc), g.Param(dt), g.Param(bias), g.Param(rate), g.Param(skip), state)
		weights := g.Input("weights", Shape(y)...)
		fillNormal(r, g.Floats(weights))
		g.Backward(Apply(g, weigh{}, y, weights))
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
}
