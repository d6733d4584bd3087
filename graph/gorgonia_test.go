package graph

import (
	"errors"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// ownCase is one operation of Gorgonia's own between parameters and a loss.
type ownCase struct {
	name     string
	operands [][]int
	apply    func(x []*Node) (*Node, error)
	eval     func(x []ref) []float64
	positive bool
}

func (c ownCase) kernelCase(behindKernel bool) kernelCase {
	k := kernelCase{name: c.name, reference: c.eval}
	for _, shape := range c.operands {
		o := floats(shape...)
		if len(shape) == 0 {
			o = floats(1)
		}
		if c.positive {
			o.fill = func(r *rand.Rand, _ int) float32 { return float32(0.5 + math.Abs(r.NormFloat64())) }
		}
		k.operands = append(k.operands, o)
	}
	k.apply = func(g *Graph, in []*Node) *Node {
		in = slices.Clone(in)
		for i, shape := range c.operands {
			if behindKernel || len(shape) == 0 {
				in[i] = Reshape(g, in[i], shape...)
			}
		}
		y, err := c.apply(in)
		if err != nil {
			Fail("%v", err)
		}
		return Reshape(g, y, dims(y).TotalSize())
	}
	return k
}

func own1(f func(*Node) (*Node, error)) func([]*Node) (*Node, error) {
	return func(x []*Node) (*Node, error) { return f(x[0]) }
}

func own2(f func(a, b *Node) (*Node, error)) func([]*Node) (*Node, error) {
	return func(x []*Node) (*Node, error) { return f(x[0], x[1]) }
}

// index is the position in a tensor of the given shape whose dimensions of 1 are repeated, of element k of one of shape
// full.
func index(shape, full []int, k int) int {
	at, size := 0, 1
	for i, f := range slices.Backward(full) {
		at += k % f % shape[i] * size
		size *= shape[i]
		k /= f
	}
	return at
}

func elementwiseCases() (cases []ownCase) {
	for _, shape := range [][]int{{3, 4}, {5}, {2, 3, 4}, {2, 2, 2, 2}, {1}, {1, 1}, {1, 4}, {4, 1}, {}} {
		for _, op := range mixedOps() {
			if strings.HasPrefix(op.name, "gorgonia.") && op.args == 1 && op.refused == "" && op.fits([]ref{{}}) {
				cases = append(cases, ownCase{fmt.Sprint(op.name, shape), [][]int{shape},
					func(x []*Node) (*Node, error) { return op.apply(nil, x) },
					func(x []ref) []float64 { return op.eval(x).f }, op.safe != nil})
			}
		}
	}
	binary := []struct {
		name string
		f    func(a, b *Node) (*Node, error)
		eval func(a, b float64) float64
	}{
		{"Add", gorgonia.Add, add}, {"Sub", gorgonia.Sub, sub}, {"HadamardProd", gorgonia.HadamardProd, mul},
		{"HadamardDiv", gorgonia.HadamardDiv, div}, {"Pow", gorgonia.Pow, math.Pow},
	}
	for _, s := range [][2][]int{
		{{3, 4}, {3, 4}}, {{5}, {5}}, {{2, 3, 4}, {2, 3, 4}}, {{3, 4}, {}}, {{}, {3, 4}}, {{}, {}}, {{1}, {1}}, {{5}, {}},
		{{}, {5}},
		{{1}, {}}, {{}, {1}}, {{1, 1}, {}}, {{}, {1, 1}}, {{2, 3, 4}, {}}, {{}, {2, 3, 4}}, {{4, 1}, {4, 1}}, {{4, 1}, {4}},
		{{4}, {4, 1}},
	} {
		for _, op := range binary {
			cases = append(cases, ownCase{fmt.Sprint(op.name, s), s[:], own2(op.f),
				func(x []ref) []float64 { return pair(op.eval)(x).f },
				op.name == "HadamardDiv" || op.name == "Pow"})
		}
	}
	for _, op := range binary { // one node twice, and constants on either side
		same := func(x []*Node) (*Node, error) { return op.f(x[0], x[0]) }
		left := func(x []*Node) (*Node, error) { return op.f(gorgonia.NewConstant(float32(2.5)), x[0]) }
		right := func(x []*Node) (*Node, error) { return op.f(x[0], gorgonia.NewConstant(float32(2.5))) }
		for name, c := range map[string]ownCase{
			"twice": {apply: same,
				eval: func(x []ref) []float64 { return each(func(v float64) float64 { return op.eval(v, v) })(x).f }},
			"constant": {apply: left,
				eval: func(x []ref) []float64 { return each(func(v float64) float64 { return op.eval(2.5, v) })(x).f }},
			"by": {apply: right,
				eval: func(x []ref) []float64 { return each(func(v float64) float64 { return op.eval(v, 2.5) })(x).f }},
		} {
			cases = append(cases, ownCase{op.name + " " + name, [][]int{{3, 4}}, c.apply, c.eval, true})
		}
	}
	return cases
}

func productCases() (cases []ownCase) {
	product := func(m, k, n int, a, b []float64) []float64 {
		return refMatMul([]ref{{shape: []int{m, k}, f: a}, {shape: []int{k, n}, f: b}}).f
	}
	turned := func(t bool, m, n int, f []float64) []float64 {
		if !t {
			return f
		}
		return refTransposed([]ref{{shape: []int{n, m}, f: f}}).f
	}
	for _, d := range [][3]int{{3, 4, 5}, {3, 4, 1}, {1, 4, 5}, {1, 4, 1}, {3, 1, 5}, {4, 4, 4}} {
		m, k, n := d[0], d[1], d[2]
		cases = append(cases, ownCase{fmt.Sprint("Mul", d), [][]int{{m, k}, {k, n}}, own2(gorgonia.Mul),
			func(x []ref) []float64 { return product(m, k, n, x[0].f, x[1].f) }, false})
		for i := range 4 {
			tA, tB := i&1 != 0, i&2 != 0
			a, b := []int{2, m, k}, []int{2, k, n}
			if tA {
				a = []int{2, k, m}
			}
			if tB {
				b = []int{2, n, k}
			}
			cases = append(cases, ownCase{fmt.Sprint("BatchedMatMul", d, tA, tB), [][]int{a, b},
				func(x []*Node) (*Node, error) { return gorgonia.BatchedMatMul(x[0], x[1], tA, tB) },
				func(x []ref) (y []float64) {
					for p := range 2 {
						y = append(y, product(m, k, n, turned(tA, m, k, x[0].f[p*m*k:(p+1)*m*k]),
							turned(tB, k, n, x[1].f[p*k*n:(p+1)*k*n]))...)
					}
					return y
				}, false})
		}
	}
	return append(cases,
		ownCase{"Mul of one node", [][]int{{4, 4}}, func(x []*Node) (*Node, error) { return gorgonia.Mul(x[0], x[0]) },
			func(x []ref) []float64 { return product(4, 4, 4, x[0].f, x[0].f) }, false},
		ownCase{"matrix by vector", [][]int{{3, 4}, {4}}, own2(gorgonia.Mul),
			func(x []ref) []float64 { return product(3, 4, 1, x[0].f, x[1].f) }, false},
		ownCase{"square by vector", [][]int{{4, 4}, {4}}, own2(gorgonia.Mul),
			func(x []ref) []float64 { return product(4, 4, 1, x[0].f, x[1].f) }, false},
		ownCase{"vector by matrix", [][]int{{3}, {3, 4}}, own2(gorgonia.Mul),
			func(x []ref) []float64 { return product(1, 3, 4, x[0].f, x[1].f) }, false},
		ownCase{"vector by square", [][]int{{4}, {4, 4}}, own2(gorgonia.Mul),
			func(x []ref) []float64 { return product(1, 4, 4, x[0].f, x[1].f) }, false},
		ownCase{"vector by vector", [][]int{{4}, {4}}, own2(gorgonia.Mul),
			func(x []ref) []float64 { return product(1, 4, 1, x[0].f, x[1].f) }, false},
	)
}

func reductionCases() (cases []ownCase) {
	for _, shape := range [][]int{{3, 4}, {5}, {2, 3, 4}, {1, 4}, {4, 1}, {1}, {1, 1}} {
		for _, along := range [][]int{{}, {0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}} {
			if len(along) > 0 && slices.Max(along) >= len(shape) {
				continue
			}
			kept, count := slices.Clone(shape), 1
			for i := range kept {
				if len(along) == 0 || slices.Contains(along, i) {
					count *= kept[i]
					kept[i] = 1
				}
			}
			reduce := func(scale float64) func(x []ref) []float64 {
				return func(x []ref) []float64 {
					y := make([]float64, len(x[0].f)/count)
					for i, v := range x[0].f {
						y[index(kept, shape, i)] += v * scale
					}
					return y
				}
			}
			cases = append(cases,
				ownCase{fmt.Sprint("Sum", shape, along), [][]int{shape},
					func(x []*Node) (*Node, error) { return gorgonia.Sum(x[0], along...) }, reduce(1), false},
				ownCase{fmt.Sprint("Mean", shape, along), [][]int{shape},
					func(x []*Node) (*Node, error) { return gorgonia.Mean(x[0], along...) }, reduce(1 / float64(count)), false})
		}
	}
	return cases
}

func shapeCases() (cases []ownCase) {
	same := func(x []ref) []float64 { return x[0].f }
	for _, c := range [][2][]int{{{3, 4}, {4, 3}}, {{3, 4}, {12}}, {{12}, {3, 4}}, {{2, 6}, {2, 3, 2}}, {{1}, {1, 1}},
		{{4}, {4, 1}}, {{4, 1}, {4}}} {
		cases = append(cases, ownCase{fmt.Sprint("Reshape", c), [][]int{c[0]},
			func(x []*Node) (*Node, error) { return gorgonia.Reshape(x[0], tensor.Shape(c[1])) }, same, false})
	}
	for _, c := range [][2][]int{{{3, 4}, {1, 0}}, {{2, 3, 4}, {0, 2, 1}}, {{2, 3, 4}, {2, 0, 1}}, {{2, 3, 4}, {1, 2, 0}},
		{{2, 3, 4, 2}, {3, 1, 0, 2}}, {{4, 1}, {1, 0}}, {{3, 3}, {1, 0}}} {
		cases = append(cases, ownCase{fmt.Sprint("Transpose", c), [][]int{c[0]},
			func(x []*Node) (*Node, error) { return gorgonia.Transpose(x[0], c[1]...) },
			func(x []ref) []float64 { return refPermuted(x[0], c[1]) }, false})
	}
	return append(cases, partCases()...)
}

func partCases() (cases []ownCase) {
	part := func(shape []int, axis, from, to, step int) func(x []ref) []float64 {
		return func(x []ref) (y []float64) {
			inner := 1
			for _, d := range shape[axis+1:] {
				inner *= d
			}
			for i, v := range x[0].f {
				if at := i / inner % shape[axis]; at >= from && at < to && (at-from)%step == 0 {
					y = append(y, v)
				}
			}
			return y
		}
	}
	for _, c := range []struct {
		shape          []int
		axis, from, to int
		step           int
	}{{[]int{4, 3}, 0, 1, 3, 1}, {[]int{4, 3}, 0, 1, 2, 1}, {[]int{4, 3}, 1, 1, 3, 1}, {[]int{4, 3}, 1, 1, 2, 1},
		{[]int{6}, 0, 1, 4, 1}, {[]int{6}, 0, 2, 3, 1}, {[]int{4, 3, 2}, 0, 1, 3, 1}, {[]int{6}, 0, 0, 6, 2}} {
		cases = append(cases, ownCase{fmt.Sprint("Slice", c), [][]int{c.shape}, func(x []*Node) (*Node, error) {
			slices := make([]tensor.Slice, c.axis+1)
			slices[c.axis] = gorgonia.S(c.from, c.to, c.step)
			return gorgonia.Slice(x[0], slices...)
		}, part(c.shape, c.axis, c.from, c.to, c.step), false})
	}
	for _, c := range []struct {
		axis int
		a, b []int
	}{{0, []int{2, 3}, []int{4, 3}}, {1, []int{2, 3}, []int{2, 2}}, {1, []int{2, 2}, []int{2, 1}},
		{0, []int{2}, []int{3}}} {
		cases = append(cases, ownCase{fmt.Sprint("Concat", c), [][]int{c.a, c.b},
			func(x []*Node) (*Node, error) { return gorgonia.Concat(c.axis, x...) },
			func(x []ref) (y []float64) {
				if c.axis == 0 {
					return slices.Concat(x[0].f, x[1].f)
				}
				for r := range c.a[0] {
					y = append(append(y, x[0].f[r*c.a[1]:(r+1)*c.a[1]]...), x[1].f[r*c.b[1]:(r+1)*c.b[1]]...)
				}
				return y
			}, false})
	}
	return cases
}

func refPermuted(x ref, axes []int) []float64 {
	var shape []int
	for _, a := range axes {
		shape = append(shape, x.shape[a])
	}
	y := make([]float64, len(x.f))
	for k := range y {
		at, rest := make([]int, len(axes)), k
		for i, axe := range slices.Backward(axes) {
			at[axe] = rest % shape[i]
			rest /= shape[i]
		}
		from := 0
		for i, d := range x.shape {
			from = from*d + at[i]
		}
		y[k] = x.f[from]
	}
	return y
}

func broadcastCases() (cases []ownCase) {
	type broadcasting = func(a, b *Node, left, right []byte) (*Node, error)
	for _, c := range []struct {
		a, b        []int // as given
		wideA, rowB []int // with the dimensions that are repeated as 1
		l, r        []byte
	}{
		{[]int{3, 4}, []int{1, 4}, []int{3, 4}, []int{1, 4}, nil, []byte{0}},
		{[]int{3, 4}, []int{4}, []int{3, 4}, []int{1, 4}, nil, []byte{0}},
		{[]int{3, 4}, []int{3, 1}, []int{3, 4}, []int{3, 1}, nil, []byte{1}},
		{[]int{3, 4}, []int{3}, []int{3, 4}, []int{3, 1}, nil, []byte{1}},
		{[]int{1, 4}, []int{3, 4}, []int{1, 4}, []int{3, 4}, []byte{0}, nil},
		{[]int{4, 4}, []int{4}, []int{4, 4}, []int{1, 4}, nil, []byte{0}},
		{[]int{4, 4}, []int{4}, []int{4, 4}, []int{4, 1}, nil, []byte{1}},
		{[]int{2, 3, 4}, []int{2, 1, 4}, []int{2, 3, 4}, []int{2, 1, 4}, nil, []byte{1}},
		{[]int{2, 3, 4}, []int{1, 1, 4}, []int{2, 3, 4}, []int{1, 1, 4}, nil, []byte{0, 1}},
		{[]int{2, 3, 4}, []int{4}, []int{2, 3, 4}, []int{1, 1, 4}, nil, []byte{0, 1}},
		{[]int{3, 1}, []int{1, 4}, []int{3, 1}, []int{1, 4}, []byte{1}, []byte{0}},
	} {
		full := make([]int, len(c.wideA))
		for i := range full {
			full[i] = max(c.wideA[i], c.rowB[i])
		}
		for name, o := range map[string]struct {
			f    broadcasting
			eval func(a, b float64) float64
		}{
			"BroadcastAdd":          {gorgonia.BroadcastAdd, func(a, b float64) float64 { return a + b }},
			"BroadcastSub":          {gorgonia.BroadcastSub, func(a, b float64) float64 { return a - b }},
			"BroadcastHadamardProd": {gorgonia.BroadcastHadamardProd, func(a, b float64) float64 { return a * b }},
			"BroadcastHadamardDiv":  {gorgonia.BroadcastHadamardDiv, func(a, b float64) float64 { return a / b }},
		} {
			cases = append(cases, ownCase{fmt.Sprint(name, c.a, c.b, c.wideA, c.rowB), [][]int{c.a, c.b},
				func(x []*Node) (*Node, error) { return o.f(x[0], x[1], c.l, c.r) },
				func(x []ref) (y []float64) {
					for k := range (Spec{Shape: full}).Size() {
						y = append(y, o.eval(x[0].f[index(c.wideA, full, k)], x[1].f[index(c.rowB, full, k)]))
					}
					return y
				}, true})
		}
	}
	return cases
}

// What Backward lets through of Gorgonia's own operations is right in every form of their operands: matrices, vectors,
// numbers, dimensions of 1, more than two dimensions; as leaves and behind a kernel.
func TestGorgoniaGradients(t *testing.T) {
	for i, c := range slices.Concat(elementwiseCases(), productCases(), reductionCases(), shapeCases(), broadcastCases()) {
		t.Run(c.name, func(t *testing.T) {
			checkKernel(t, c.kernelCase(false), uint64(i)+1)
			checkKernel(t, c.kernelCase(true), uint64(i)+1)
		})
	}
}

// What is not right, or was not tested, is refused when the graph is built, by one line with its name and what to do.
func TestGorgoniaGradientsRefused(t *testing.T) {
	x := func(shape ...int) [][]int { return [][]int{shape} }
	for name, c := range map[string]struct {
		operands [][]int
		apply    func(x []*Node) (*Node, error)
		want     []string
	}{
		"Log2":        {x(3, 4), own1(gorgonia.Log2), []string{"log2", "graph.Log"}},
		"InverseSqrt": {x(3, 4), own1(gorgonia.InverseSqrt), []string{"invSqrt", "gorgonia.Inverse"}},
		"Sign":        {x(3, 4), own1(gorgonia.Sign), []string{"sign", "graph.Detach"}},
		"Ceil":        {x(3, 4), own1(gorgonia.Ceil), []string{"ceil", "graph.Detach"}},
		"Floor":       {x(3, 4), own1(gorgonia.Floor), []string{"floor", "graph.Round"}},
		"Max": {x(3, 4), func(x []*Node) (*Node, error) { return gorgonia.Max(x[0], 1) },
			[]string{"MaxAlong", "equal maxima"}},
		"SoftMax": {x(3, 4), func(x []*Node) (*Node, error) { return gorgonia.SoftMax(x[0]) },
			[]string{"Softmax{", "graph.Softmax"}},
		"LogSoftMax": {x(3, 4), func(x []*Node) (*Node, error) { return gorgonia.LogSoftMax(x[0]) },
			[]string{"Softmax{", "graph.Softmax"}},
		"Sparsemax": {x(3, 4), func(x []*Node) (*Node, error) { return gorgonia.Sparsemax(x[0]) },
			[]string{"Sparsemax", "graph.Softmax"}},
		"OuterProd": {[][]int{{4}, {4}}, own2(gorgonia.OuterProd), []string{"⊗", "graph.MatMul"}},
		"Tensordot": {[][]int{{3, 4}, {4, 5}},
			func(x []*Node) (*Node, error) { return gorgonia.Tensordot([]int{1}, []int{0}, x[0], x[1]) },
			[]string{"Tensordot", "graph.Kernel"}},
		"Dropout": {x(3, 4), func(x []*Node) (*Node, error) { return gorgonia.Dropout(x[0], 0.5) },
			[]string{"ropout", "graph.Dropout"}},
		"Conv2d": {[][]int{{1, 1, 5, 5}, {1, 1, 3, 3}}, func(x []*Node) (*Node, error) {
			return gorgonia.Conv2d(x[0], x[1], tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1})
		}, []string{"im2col", "graph.GatedConv"}},
		"MaxPool2D": {x(1, 1, 4, 4), func(x []*Node) (*Node, error) {
			return gorgonia.MaxPool2D(x[0], tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})
		}, []string{"axPool", "graph.Kernel"}},
		"BatchNorm": {[][]int{{2, 1, 2, 2}, {1, 1, 2, 2}, {1, 1, 2, 2}}, func(x []*Node) (*Node, error) {
			y, _, _, _, err := gorgonia.BatchNorm(x[0], nil, nil, 0.1, 1e-5)
			return y, err
		}, []string{"atchnorm", "graph.LayerNorm"}},
		"Sum of 4 dimensions": {x(2, 2, 3, 2), func(x []*Node) (*Node, error) { return gorgonia.Sum(x[0], 2) },
			[]string{"Σ[2]", "4 dimensions"}},
		"Slice of a long tensor": {x(300), func(x []*Node) (*Node, error) { return gorgonia.Slice(x[0], gorgonia.S(1, 3)) },
			[]string{"T[1:3:1", "graph.SliceRows"}},
		"At": {x(3, 4), func(x []*Node) (*Node, error) { return gorgonia.At(x[0], 1, 2) }, []string{"At(", "graph.Kernel"}},
	} {
		k := ownCase{name: name, operands: c.operands, apply: c.apply}.kernelCase(true)
		_, err := Build(func(g *Graph) {
			var in []*Node
			for i, o := range k.operands {
				in = append(in, g.Param(NewParam(fmt.Sprint("in", i), o.shape...)))
			}
			y := k.apply(g, in)
			g.Backward(Apply(g, weigh{}, y, g.Input("w", Shape(y)...)))
		})
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%s: got %v, want an error of Build", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got %q, want one line with %q", name, err, want)
			}
		}
	}
}

// Where Gorgonia's value itself is wrong, a graph is refused also without gradients.
func TestWrongValuesRefused(t *testing.T) {
	for name, f := range map[string]func(g *Graph) (*Node, error){
		"4 dimensions": func(g *Graph) (*Node, error) { return gorgonia.Sum(g.Input("x", 2, 2, 3, 2), 2) },
		"beyond 255":   func(g *Graph) (*Node, error) { return gorgonia.Slice(g.Input("x", 300), gorgonia.S(0, 2)) },
		"LogSoftMax": func(g *Graph) (*Node, error) { // Log changes y, which is also read by itself
			y, err := gorgonia.SoftMax(g.Input("x", 2, 3))
			g.Keep(y, gorgonia.Must(gorgonia.Log(y)))
			return y, err
		},
	} {
		g, err := Build(func(g *Graph) { g.Keep(gorgonia.Must(f(g))) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Compile(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error with %q", err, name)
		}
	}
}

// The example of the issue: both ways from y to the loss carry a gradient, y itself and tanh(y).
func TestTanhBesideItsOperand(t *testing.T) {
	checkKernel(t, kernelCase{
		name:     "y + tanh y",
		operands: []operand{floats(3, 4), floats(2, 4)},
		apply: func(g *Graph, in []*Node) *Node {
			y := Linear(g, in[0], in[1], nil, Identity)
			return gorgonia.Must(gorgonia.Add(y, gorgonia.Must(gorgonia.Tanh(y))))
		},
		reference: func(in []ref) []float64 {
			y := refLinear(in[0], in[1], nil, Identity)
			for i, v := range y {
				y[i] = v + math.Tanh(v)
			}
			return y
		},
	}, 1)
}

// A kernel behind Gorgonia's views reads the elements in the order of their indices, and so does Value.
func TestViewsOfGorgonia(t *testing.T) {
	var turned, columns, after *Node
	var x *Node
	g, err := Build(func(g *Graph) {
		x = g.Input("x", 2, 3)
		copy(g.Floats(x), []float32{1, 2, 3, 4, 5, 6})
		turned = gorgonia.Must(gorgonia.Transpose(x, 1, 0))
		columns = gorgonia.Must(gorgonia.Slice(x, nil, gorgonia.S(1, 3)))
		after = Sum(g, turned, turned)
		g.Keep(turned, columns, after)
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
	for n, want := range map[*Node][]float32{turned: {1, 4, 2, 5, 3, 6}, columns: {2, 3, 5, 6},
		after: {2, 8, 4, 10, 6, 12}} {
		if got := p.Value(n); !slices.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", n, got, want)
		}
	}
	lazy := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))
	if err := lazy.T(); err != nil {
		t.Fatal(err)
	}
	if got := rowMajor(lazy).([]float32); !slices.Equal(got, []float32{1, 4, 2, 5, 3, 6}) {
		t.Errorf("a tensor transposed without moving reads %v", got)
	}
	cut, err := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]int32{1, 2, 3, 4, 5, 6})).Slice(nil,
		gorgonia.S(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	if got := rowMajor(cut).([]int32); !slices.Equal(got, []int32{2, 3, 5, 6}) {
		t.Errorf("columns cut out of rows read %v", got)
	}
}

// A value that is kept, or that a parameter or an input holds, is not overwritten by an operation of Gorgonia's that
// reads it last.
func TestGorgoniaOverwritesNothing(t *testing.T) {
	w := NewParam("w", 2, 3)
	fillNormal(random(1), w.Data())
	before := slices.Clone(w.Data())
	var x, y *Node
	g, err := Build(func(g *Graph) {
		x = g.Input("x", 2, 3)
		y = Sum(g, x, g.Param(w))
		flat := gorgonia.Must(gorgonia.Reshape(y, tensor.Shape{6}))
		g.Keep(y, gorgonia.Must(gorgonia.Neg(flat)), gorgonia.Must(gorgonia.Square(y)),
			gorgonia.Must(gorgonia.Tanh(g.Param(w))))
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 2 {
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.Value(y), before) || !slices.Equal(w.Data(), before) {
			t.Errorf("got %v and parameter %v, want %v", p.Value(y), w.Data(), before)
		}
	}
}

// twice is an operation of somebody else's, y = 2x, whose flaws a test chooses.
type twice struct {
	grads  func(x, grad *Node) (gorgonia.Nodes, error)
	refuse bool
}

func (o *twice) Arity() int            { return 1 }
func (o *twice) Type() hm.Type         { return hm.NewFnType(hm.TypeVariable('a'), hm.TypeVariable('a')) }
func (o *twice) ReturnsPtr() bool      { return true }
func (o *twice) CallsExtern() bool     { return false }
func (o *twice) OverwritesInput() int  { return -1 }
func (o *twice) WriteHash(h hash.Hash) { fmt.Fprint(h, "twice") }
func (o *twice) Hashcode() uint32      { return hashOf("twice") }
func (o *twice) String() string        { return "twice" }
func (o *twice) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	return in[0].(tensor.Shape), nil
}
func (o *twice) Do(v ...gorgonia.Value) (gorgonia.Value, error) {
	return tensor.Mul(v[0].(tensor.Tensor), float32(2))
}
func (o *twice) DiffWRT(int) []bool { return []bool{!o.refuse} }
func (o *twice) SymDiff(in gorgonia.Nodes, _, grad *Node) (gorgonia.Nodes, error) {
	return o.grads(in[0], grad)
}

// An operation of the user's own is differentiated by its SymDiff, and refused by name if that has no gradient to give.
func TestOperationsOfOthers(t *testing.T) {
	right := func(_, grad *Node) (gorgonia.Nodes, error) {
		n, err := gorgonia.Add(grad, grad)
		return gorgonia.Nodes{n}, err
	}
	apply := func(o *twice) func(g *Graph, in []*Node) *Node {
		return func(g *Graph, in []*Node) *Node { return gorgonia.Must(gorgonia.ApplyOp(o, in[0])) }
	}
	checkKernel(t, kernelCase{operands: []operand{floats(3, 4)}, apply: apply(&twice{grads: right}),
		reference: func(in []ref) []float64 { return each(func(x float64) float64 { return 2 * x })(in).f }}, 1)
	for want, o := range map[string]*twice{
		"DiffWRT":           {refuse: true},
		"gives no gradient": {grads: func(_, _ *Node) (gorgonia.Nodes, error) { return gorgonia.Nodes{nil}, nil }},
		"0 gradients for 1": {grads: func(_, _ *Node) (gorgonia.Nodes, error) { return nil, nil }},
		"shape (4, 3) for operand": {grads: func(_, g *Node) (gorgonia.Nodes, error) {
			n, err := gorgonia.Transpose(g)
			return gorgonia.Nodes{n}, err
		}},
		"SymDiff fails: for once": {grads: func(_, _ *Node) (gorgonia.Nodes, error) { return nil, errors.New("for once") }},
		"SymDiff fails: panicked": {grads: func(_, _ *Node) (gorgonia.Nodes, error) { panic("panicked") }},
	} {
		_, err := Build(func(g *Graph) {
			y := apply(o)(g, []*Node{g.Param(NewParam("p", 3, 4))})
			g.Backward(Apply(g, weigh{}, y, g.Input("w", 3, 4)))
		})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "twice") {
			t.Errorf("got %v, want an error that names the operation, with %q", err, want)
		}
	}
}

// What is not float32 is refused where a kernel or a gradient would take it for float32.
func TestOtherTypes(t *testing.T) {
	wide := func(g *Graph) *Node {
		return gorgonia.NewMatrix(g.Expr(), tensor.Float64, gorgonia.WithShape(2, 2), gorgonia.WithName("wide"),
			gorgonia.WithInit(gorgonia.Ones()))
	}
	_, err := Build(func(g *Graph) { Sum(g, wide(g), g.Input("x", 2, 2)) })
	if err == nil || !strings.Contains(err.Error(), "operand 0 is of type float64, want float32 or int32") {
		t.Errorf("got %v", err)
	}
}

// Gorgonia's constants, random leaves and statements on the same graph are no obstacle to a gradient.
func TestLeavesOfGorgonia(t *testing.T) {
	w := NewParam("w", 2, 3)
	scale := []float32{1, 2, 3, 4, 5, 6}
	var read gorgonia.Value
	g, err := Build(func(g *Graph) {
		noise := gorgonia.GaussianRandomNode(g.Expr(), tensor.Float32, 0, 1, 2, 3)
		y := gorgonia.Must(gorgonia.Add(g.Param(w), noise))
		gorgonia.Read(y, &read)
		c := gorgonia.NewConstant(tensor.New(tensor.WithShape(2, 3), tensor.WithBacking(scale)))
		g.Backward(gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.HadamardProd(y, c)))))
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
	if got := p.Grad(w); !slices.Equal(got, scale) {
		t.Errorf("got %v, want %v", got, scale)
	}
}
