package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The operations that models outside of this one are made of, against their equations in float64.
func TestOperations(t *testing.T) {
	positive := func(shape ...int) operand {
		return operand{shape: shape, fill: func(r *rand.Rand,
			_ int) float32 {
			return float32(0.3 + math.Abs(r.NormFloat64()))
		}}
	}
	unary := func(name string, o operand, f func(*Graph, *Node) *Node, eval func([]ref) ref) kernelCase {
		return kernelCase{name: fmt.Sprint(name, o.shape), operands: []operand{o},
			reference: func(in []ref) []float64 { return eval(in).f },
			apply:     func(g *Graph, n []*Node) *Node { return f(g, n[0]) }}
	}
	var cases []kernelCase
	for _, shape := range [][]int{{7}, {2, 3, 5}, {300, 70}} {
		cases = append(cases,
			unary("tanh", floats(shape...), Tanh, each(math.Tanh)), unary("exp", floats(shape...), Exp, each(math.Exp)),
			unary("log", positive(shape...), Log, each(math.Log)), unary("softmax", floats(shape...), Softmax, refSoftmax))
	}
	for _, c := range [][2][]int{{{2, 3}, {}}, {{5, 7}, {}}, {{2, 3, 4}, {0, 2, 1}}, {{2, 3, 4}, {2, 0, 1}},
		{{3, 2, 4, 2}, {3, 1, 0, 2}}, {{130, 140}, {1, 0}}} {
		axes := c[1]
		if len(axes) == 0 {
			axes = []int{1, 0}
		}
		cases = append(cases, unary(fmt.Sprint("transpose", c[1]), floats(c[0]...),
			func(g *Graph, x *Node) *Node { return Transpose(g, x, c[1]...) },
			func(in []ref) ref { return ref{f: refPermuted(in[0], axes)} }))
	}
	for _, c := range [][2][]int{{{2, 3}, {6}}, {{6}, {1, 2, 3}}, {{1}, {}}, {{4, 6}, {2, 2, 6}}} {
		cases = append(cases, unary(fmt.Sprint("reshape", c[1]), floats(c[0]...), func(g *Graph, x *Node) *Node {
			return Reshape(g, Reshape(g, x, c[1]...), Spec{Shape: c[1]}.Size())
		}, func(in []ref) ref { return in[0] }))
	}
	for _, c := range [][2][]int{{{3, 4}, {4, 5}}, {{1, 4}, {4, 1}}, {{2, 3, 4}, {2, 4, 5}}, {{2, 2, 3, 1}, {2, 2, 1, 4}},
		{{600, 3}, {3, 2}}, {{3, 200}, {200, 4}}} {
		cases = append(cases, kernelCase{name: fmt.Sprint("matmul", c), operands: []operand{floats(c[0]...), floats(c[1]...)},
			apply:     func(g *Graph, n []*Node) *Node { return MatMul(g, n[0], n[1]) },
			reference: func(in []ref) []float64 { return refProducts(in[0], in[1]) }})
	}
	cases = append(cases,
		kernelCase{name: "matmul of one node", operands: []operand{floats(4, 4)}, apply: func(g *Graph, n []*Node) *Node {
			return MatMul(g, n[0], n[0])
		},
			reference: func(in []ref) []float64 { return refProducts(in[0], in[0]) }},
		kernelCase{name: "mse", operands: []operand{floats(40, 600), floats(40, 600)},
			apply: func(g *Graph, n []*Node) *Node {
				return MeanSquaredError(g, n[0], n[1])
			},
			reference: func(in []ref) []float64 {
				var sum float64
				for i, x := range in[0].f {
					sum += (x - in[1].f[i]) * (x - in[1].f[i]) / float64(len(in[0].f))
				}
				return []float64{sum}
			}},
		kernelCase{name: "dropout", operands: []operand{floats(6, 5),
			{shape: []int{1}, ints: func(*rand.Rand, int) int32 { return 3 }}},
			apply: func(g *Graph, n []*Node) *Node { return Dropout(g, n[0], n[1], 0.4, 9) },
			reference: func(in []ref) (y []float64) {
				for i, m := range maskOf(t, 0.4, 9, 3, 30) {
					y = append(y, float64(m)*in[0].f[i])
				}
				return y
			}})
	checkKernels(t, cases)
}

// refProducts multiplies the matrices of the last two dimensions.
func refProducts(a, b ref) (y []float64) {
	m, k, n := a.dim(-2), a.dim(-1), b.dim(-1)
	for p := range len(a.f) / (m * k) {
		y = append(y, refMatMul([]ref{{shape: []int{m, k}, f: a.f[p*m*k : (p+1)*m*k]},
			{shape: []int{k, n}, f: b.f[p*k*n : (p+1)*k*n]}}).f...)
	}
	return y
}

// maskOf is what Dropout makes of ones.
func maskOf(t *testing.T, p float64, seed uint64, step int32, n int) []float32 {
	t.Helper()
	var x, at, y *Node
	g, err := Build(func(g *Graph) {
		x, at = g.Input("x", n), g.InputInts("step", 1)
		y = Dropout(g, x, at, p, seed)
		g.Keep(y)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.Floats(x) {
		g.Floats(x)[i] = 1
	}
	g.Ints(at)[0] = step
	program, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(program.Value(y))
}

// The mask follows from seed, step and position, whatever GOMAXPROCS is; its rate is p; steps, seeds and neighbouring
// elements have nothing to do with each other; evaluation leaves everything as it is.
func TestDropoutMask(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	const n, p = 100_000, 0.3
	runtime.GOMAXPROCS(1)
	mask := maskOf(t, p, 1, 7, n)
	runtime.GOMAXPROCS(5)
	if !slices.Equal(mask, maskOf(t, p, 1, 7, n)) {
		t.Error("the mask depends on GOMAXPROCS")
	}
	if short := maskOf(t, p, 1, 7, 100); !slices.Equal(mask[:100], short) {
		t.Error("an element's fate depends on the size of the tensor")
	}
	dropped := func(m []float32) (count int) {
		for _, v := range m {
			switch v {
			case 0:
				count++
			case float32(1 / 0.7):
			default:
				t.Fatalf("the mask has %v, want 0 or 1/0.7", v)
			}
		}
		return count
	}
	both := func(a, b []float32) (count int) {
		for i := range a {
			if a[i] == 0 && b[i] == 0 {
				count++
			}
		}
		return count
	}
	// Five standard deviations of a binomial distribution.
	expect := func(what string, got int, n, p float64) {
		if math.Abs(float64(got)-n*p) > 5*math.Sqrt(n*p*(1-p)) {
			t.Errorf("%s: %d of %v, want %v", what, got, n, n*p)
		}
	}
	expect("dropped", dropped(mask), n, p)
	for what, other := range map[string][]float32{"the next step": maskOf(t, p, 1, 8, n),
		"another seed": maskOf(t, p, 2, 7, n), "step and seed exchanged": maskOf(t, p, 7, 1, n)} {
		expect(what, dropped(other), n, p)
		expect("dropped together with "+what, both(mask, other), n, p*p)
	}
	expect("dropped with its neighbour", both(mask[1:], mask[:n-1]), n-1, p*p)
	if m := maskOf(t, p, 1, -1, 1000); dropped2(m) != 0 || m[0] != 1 {
		t.Error("evaluation drops or scales")
	}
	if _, err := Build(func(g *Graph) {
		x := g.Input("x", 3)
		if Dropout(g, x, nil, 0.5, 1) != x || Dropout(g, x, g.InputInts("step", 1), 0, 1) != x {
			t.Error("without a step, or at probability 0, something is added to the graph")
		}
	}); err != nil {
		t.Error(err)
	}
}

func dropped2(m []float32) (count int) {
	for _, v := range m {
		if v != 1 {
			count++
		}
	}
	return count
}

// A step's gradient has the step's mask, in each run of one program.
func TestDropoutGradientHasTheMask(t *testing.T) {
	x := NewParam("x", 50)
	for i := range x.Data() {
		x.Data()[i] = 1
	}
	var step *Node
	g, err := Build(func(g *Graph) {
		step = g.InputInts("step", 1)
		w := g.Input("w", 50)
		for i := range g.Floats(w) {
			g.Floats(w)[i] = 1
		}
		g.Backward(Apply(g, weigh{}, Dropout(g, g.Param(x), step, 0.5, 4), w))
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for s := range int32(5) {
		g.Ints(step)[0] = s
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		if want := maskOf(t, 0.5, 4, s, 50); !slices.Equal(p.Grad(x), want) {
			t.Errorf("step %d: gradient %v, want %v", s, p.Grad(x), want)
		}
	}
}

// Large logits neither overflow nor lose the row's sum.
func TestSoftmaxOfLargeLogits(t *testing.T) {
	var x, y *Node
	g, err := Build(func(g *Graph) {
		x = g.Input("x", 2, 3)
		y = Softmax(g, x)
		g.Keep(y)
	})
	if err != nil {
		t.Fatal(err)
	}
	copy(g.Floats(x), []float32{1e4, 1e4, -1e4, -3e38, 0, float32(math.Inf(-1))})
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if got, want := p.Value(y), []float32{0.5, 0.5, 0, 0, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Integers can be reshaped and transposed like numbers.
func TestShapesOfIntegers(t *testing.T) {
	var x, y *Node
	g, err := Build(func(g *Graph) {
		x = g.InputInts("x", 6)
		y = Transpose(g, Reshape(g, x, 2, 3))
		g.Keep(y)
	})
	if err != nil {
		t.Fatal(err)
	}
	copy(g.Ints(x), []int32{1, 2, 3, 4, 5, 6})
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if got, want := p.Ints(y), []int32{1, 4, 2, 5, 3, 6}; !slices.Equal(got, want) ||
		!reflect.DeepEqual(Shape(y), []int{3, 2}) {
		t.Errorf("got %v of %v, want %v of [3 2]", got, Shape(y), want)
	}
}

// The operations' results do not depend on GOMAXPROCS, at shapes of several tiles.
func TestOperationsAreDeterministic(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var want [][]uint32
	for _, procs := range []int{1, 2, 5} {
		runtime.GOMAXPROCS(procs)
		x, w := NewParam("x", 700, 40), NewParam("w", 40, 700)
		fillNormal(random(1), x.Data())
		fillNormal(random(2), w.Data())
		var loss *Node
		g, err := Build(func(g *Graph) {
			y := MatMul(g, Dropout(g, Tanh(g, g.Param(x)), g.InputInts("step", 1), 0.2, 3), g.Param(w)) // [700, 700]
			loss = MeanSquaredError(g, Softmax(g, y), Transpose(g, Log(g, Exp(g, y))))
			g.Keep(loss)
			g.Backward(loss)
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
		got := [][]uint32{bits(p.Value(loss)), bits(p.Grad(x)), bits(p.Grad(w))}
		p.Close()
		if want == nil {
			want = got
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("GOMAXPROCS %d gives other bits", procs)
		}
	}
}

func TestErrorsOfOperations(t *testing.T) {
	for name, c := range map[string]struct {
		f    func(g *Graph)
		want []string
	}{
		"matmul": {func(g *Graph) { MatMul(g, g.Input("a", 2, 3), g.Input("b", 4, 5)) },
			[]string{"matmul", "[2 3]", "[4 5]", "[..., K, N]"}},
		"matmul: batches": {func(g *Graph) { MatMul(g, g.Input("a", 2, 2, 3), g.Input("b", 3, 3, 5)) },
			[]string{"matmul", "[2 2 3]"}},
		"reshape": {func(g *Graph) { Reshape(g, g.Input("a", 2, 3), 4) },
			[]string{"reshape[4]", "[2 3]", "6 elements"}},
		"reshape: negative": {func(g *Graph) { Reshape(g, g.Input("a", 2, 3), -2, -3) }, []string{"reshape", "[-2 -3]"}},
		"transpose": {func(g *Graph) { Transpose(g, g.Input("a", 2, 3), 1, 1) },
			[]string{"transpose[1 1]", "each of 0 … 1 once"}},
		"transpose: a vector": {func(g *Graph) { Transpose(g, g.Input("a", 2)) }, []string{"transpose", "[2]"}},
		"mse": {func(g *Graph) { MeanSquaredError(g, g.Input("a", 2, 3), g.Input("b", 2)) },
			[]string{"mse", "[2 3]", "[2]"}},
		"dropout: p": {func(g *Graph) { Dropout(g, g.Input("a", 2, 3), g.InputInts("s", 1), 1, 1) },
			[]string{"dropout", "probability 1"}},
		"dropout: NaN": {func(g *Graph) { Dropout(g, g.Input("a", 2, 3), g.InputInts("s", 1), math.NaN(), 1) },
			[]string{"dropout", "NaN"}},
		"dropout: step": {func(g *Graph) { Dropout(g, g.Input("a", 2, 3), g.Input("s", 1), 0.1, 1) },
			[]string{"dropout", "one integer"}},
		"softmax": {func(g *Graph) { Softmax(g, g.InputInts("a", 2, 3)) }, []string{"softmax", "integers"}},
	} {
		_, err := Build(c.f)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want an error with %q", name, err, want)
			}
		}
	}
}
