package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// mixedOp is an operation that random graphs are made of: a kernel or one of Gorgonia's own.
type mixedOp struct {
	name string
	args int
	// fits says whether the operands' shapes will do.
	fits  func(in []ref) bool
	apply func(g *Graph, in []*Node) (*Node, error)
	// eval is the operation in float64, written from its definition; it shares no code with what it checks.
	eval func(in []ref) ref
	// safe says whether the values keep away from kinks and poles; nil: any do.
	safe func(in []ref) bool
	// refused is what names the operation in the error of a graph in which it would have to pass a gradient on.
	refused string
	// cuts: no gradient flows by design.
	cuts bool
}

func kernelOf(f func(g *Graph, x *Node) *Node) func(*Graph, []*Node) (*Node, error) {
	return func(g *Graph, in []*Node) (*Node, error) { return f(g, in[0]), nil }
}

func kernelOf2(f func(g *Graph, x, y *Node) *Node) func(*Graph, []*Node) (*Node, error) {
	return func(g *Graph, in []*Node) (*Node, error) { return f(g, in[0], in[1]), nil }
}

func ownOf(f func(*Node) (*Node, error)) func(*Graph, []*Node) (*Node, error) {
	return func(_ *Graph, in []*Node) (*Node, error) { return f(in[0]) }
}

func ownOf2(f func(a, b *Node) (*Node, error)) func(*Graph, []*Node) (*Node, error) {
	return func(_ *Graph, in []*Node) (*Node, error) { return f(in[0], in[1]) }
}

func each(f func(float64) float64) func([]ref) ref {
	return func(in []ref) ref {
		y := ref{shape: in[0].shape}
		for _, v := range in[0].f {
			y.f = append(y.f, f(v))
		}
		return y
	}
}

// pair is an elementwise operation of two equal shapes, or of one number and a tensor.
func pair(f func(a, b float64) float64) func([]ref) ref {
	return func(in []ref) ref {
		a, b := in[0], in[1]
		y := ref{shape: a.shape}
		if len(b.shape) > len(a.shape) {
			y.shape = b.shape
		}
		for i := range max(len(a.f), len(b.f)) {
			y.f = append(y.f, f(a.f[i%len(a.f)], b.f[i%len(b.f)]))
		}
		return y
	}
}

func anyShape([]ref) bool    { return true }
func isTensor(in []ref) bool { return len(in[0].shape) > 0 }
func isMatrix(in []ref) bool {
	return len(in[0].shape) == 2 && in[0].shape[0] > 1 && in[0].shape[1] > 1
}
func alike(in []ref) bool { return slices.Equal(in[0].shape, in[1].shape) }
func alikeOrNumber(in []ref) bool {
	return alike(in) || len(in[0].shape) == 0 && in[1].dims() == 2 || len(in[1].shape) == 0 && in[0].dims() == 2
}

func (r ref) dims() int { return len(r.shape) }

func away(from float64, at float64) func([]ref) bool {
	return func(in []ref) bool {
		return !slices.ContainsFunc(in[0].f, func(v float64) bool { return math.Abs(v-at) < from })
	}
}

func positive(in []ref) bool {
	return !slices.ContainsFunc(in[0].f, func(v float64) bool { return v < 0.2 })
}

func divisible(in []ref) bool { return away(0.4, 0)(in[1:]) }

func refMatMul(in []ref) ref {
	m, k, n := in[0].shape[0], in[0].shape[1], in[1].shape[1]
	y := ref{shape: []int{m, n}, f: make([]float64, m*n)}
	for i := range m {
		for j := range n {
			for l := range k {
				y.f[i*n+j] += in[0].f[i*k+l] * in[1].f[l*n+j]
			}
		}
	}
	return y
}

func refTransposed(in []ref) ref {
	m, n := in[0].shape[0], in[0].shape[1]
	y := ref{shape: []int{n, m}}
	for j := range n {
		for i := range m {
			y.f = append(y.f, in[0].f[i*n+j])
		}
	}
	return y
}

func refSoftmax(in []ref) ref {
	y, d := ref{shape: in[0].shape}, in[0].dim(-1)
	for r := range in[0].rows() {
		var sum float64
		for _, v := range in[0].f[r*d : (r+1)*d] {
			sum += math.Exp(v)
		}
		for _, v := range in[0].f[r*d : (r+1)*d] {
			y.f = append(y.f, math.Exp(v)/sum)
		}
	}
	return y
}

// refSum sums columns (axis 1) or rows (axis 0) of a matrix.
func refSum(axis int) func([]ref) ref {
	return func(in []ref) ref {
		m, n := in[0].shape[0], in[0].shape[1]
		y := ref{shape: []int{[]int{n, m}[axis]}}
		y.f = make([]float64, y.shape[0])
		for i, v := range in[0].f {
			y.f[[]int{i % n, i / n}[axis]] += v
		}
		return y
	}
}

func refTotal(scale func(n int) float64) func([]ref) ref {
	return func(in []ref) ref {
		var sum float64
		for _, v := range in[0].f {
			sum += v
		}
		return ref{shape: []int{}, f: []float64{sum * scale(len(in[0].f))}}
	}
}

// refBroadcast combines a matrix with a row.
func refBroadcast(f func(a, b float64) float64) func([]ref) ref {
	return func(in []ref) ref {
		y := ref{shape: in[0].shape}
		for i, v := range in[0].f {
			y.f = append(y.f, f(v, in[1].f[i%len(in[1].f)]))
		}
		return y
	}
}

func matrixAndRow(in []ref) bool {
	return isMatrix(in) && in[1].dims() == 1 && in[1].shape[0] == in[0].shape[1]
}

func broadcast(f func(a, b *Node, left, right []byte) (*Node, error)) func(*Graph, []*Node) (*Node, error) {
	return func(_ *Graph, in []*Node) (*Node, error) { return f(in[0], in[1], nil, []byte{0}) }
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// mixedOps are what users reach for: unary and binary operations, reductions, broadcasts, products and changes of
// shape, of both kinds, and some whose gradient is refused.
func mixedOps() []mixedOp {
	return slices.Concat(unaryOps(), binaryOps(), productOps(), shapeOps(), reductionOps(), obstacles())
}

func square(x float64) float64 { return x * x }
func add(a, b float64) float64 { return a + b }
func sub(a, b float64) float64 { return a - b }
func mul(a, b float64) float64 { return a * b }
func div(a, b float64) float64 { return a / b }

func unaryOps() []mixedOp {
	own := func(name string, f func(*Node) (*Node, error), eval func(float64) float64, safe func([]ref) bool) mixedOp {
		return mixedOp{name: "gorgonia." + name, args: 1, fits: anyShape, apply: ownOf(f), eval: each(eval), safe: safe}
	}
	kernel := func(name string, f func(*Graph, *Node) *Node, eval func(float64) float64, safe func([]ref) bool) mixedOp {
		return mixedOp{name: name, args: 1, fits: anyShape, apply: kernelOf(f), eval: each(eval), safe: safe}
	}
	return []mixedOp{
		own("Tanh", gorgonia.Tanh, math.Tanh, nil),
		own("Sigmoid", gorgonia.Sigmoid, logistic, nil),
		own("Sin", gorgonia.Sin, math.Sin, nil),
		own("Cos", gorgonia.Cos, math.Cos, nil),
		own("Exp", gorgonia.Exp, math.Exp, nil),
		own("Expm1", gorgonia.Expm1, math.Expm1, nil),
		own("Softplus", gorgonia.Softplus, func(x float64) float64 { return math.Log1p(math.Exp(x)) }, nil),
		own("Square", gorgonia.Square, square, nil),
		own("Neg", gorgonia.Neg, func(x float64) float64 { return -x }, nil),
		own("Cube", gorgonia.Cube, func(x float64) float64 { return x * x * x }, nil),
		own("Abs", gorgonia.Abs, math.Abs, away(0.01, 0)),
		own("Log", gorgonia.Log, math.Log, positive),
		own("Log1p", gorgonia.Log1p, math.Log1p, positive),
		own("Sqrt", gorgonia.Sqrt, math.Sqrt, positive),
		own("Inverse", gorgonia.Inverse, func(x float64) float64 { return 1 / x }, away(0.4, 0)),
		own("Rectify", gorgonia.Rectify, func(x float64) float64 { return max(x, 0) }, away(0.01, 0)),
		kernel("Tanh", Tanh, math.Tanh, nil),
		kernel("Exp", Exp, math.Exp, nil),
		kernel("Log", Log, math.Log, positive),
	}
}

func binaryOps() []mixedOp {
	own := func(name string, f func(a, b *Node) (*Node, error), eval func(a, b float64) float64,
		safe func([]ref) bool) mixedOp {
		return mixedOp{name: "gorgonia." + name, args: 2, fits: alikeOrNumber, apply: ownOf2(f), eval: pair(eval), safe: safe}
	}
	wide := func(name string, f func(a, b *Node, left, right []byte) (*Node, error),
		eval func(a, b float64) float64) mixedOp {
		return mixedOp{name: "gorgonia." + name, args: 2, fits: matrixAndRow, apply: broadcast(f), eval: refBroadcast(eval)}
	}
	summed := func(g *Graph, a, b *Node) *Node { return Sum(g, a, b) }
	meanSquare := func(in []ref) ref {
		squares := each(square)([]ref{pair(sub)(in)})
		return ref{shape: []int{1}, f: refTotal(func(n int) float64 { return 1 / float64(n) })([]ref{squares}).f}
	}
	return []mixedOp{
		own("Add", gorgonia.Add, add, nil),
		own("Sub", gorgonia.Sub, sub, nil),
		own("HadamardProd", gorgonia.HadamardProd, mul, nil),
		own("HadamardDiv", gorgonia.HadamardDiv, div, divisible),
		own("Pow", gorgonia.Pow, math.Pow, positive),
		wide("BroadcastAdd", gorgonia.BroadcastAdd, add),
		wide("BroadcastHadamardProd", gorgonia.BroadcastHadamardProd, mul),
		{name: "ScaleChannels", args: 2, fits: matrixAndRow, apply: kernelOf2(ScaleChannels), eval: refBroadcast(mul)},
		{name: "Sum", args: 2, fits: alike, apply: kernelOf2(summed), eval: pair(add)},
		{name: "Product", args: 2, fits: alike, apply: kernelOf2(Product), eval: pair(mul)},
		{name: "MeanSquaredError", args: 2, fits: alike, apply: kernelOf2(MeanSquaredError), eval: meanSquare},
	}
}

func productOps() []mixedOp {
	silu := func(g *Graph, x, w *Node) *Node { return Linear(g, x, w, nil, SiLU) }
	return []mixedOp{
		{name: "gorgonia.Mul", args: 2, fits: multiplies, apply: ownOf2(gorgonia.Mul), eval: refMatMul},
		{name: "MatMul", args: 2, fits: multiplies, apply: kernelOf2(MatMul), eval: refMatMul},
		{name: "Linear", args: 2, fits: sameWidth, apply: kernelOf2(silu), eval: func(in []ref) ref {
			y := refMatMul([]ref{in[0], refTransposed(in[1:])})
			return each(func(x float64) float64 { return x * logistic(x) })([]ref{y})
		}},
	}
}

func shapeOps() []mixedOp {
	transposed := func(x *Node) (*Node, error) { return gorgonia.Transpose(x, 1, 0) }
	flat := func(x *Node) (*Node, error) { return gorgonia.Reshape(x, tensor.Shape{x.Shape().TotalSize()}) }
	columns := func(x *Node) (*Node, error) { return gorgonia.Slice(x, nil, gorgonia.S(0, 2)) }
	joined := func(a, b *Node) (*Node, error) { return gorgonia.Concat(0, a, b) }
	return []mixedOp{
		{name: "gorgonia.Transpose", args: 1, fits: isMatrix, apply: ownOf(transposed), eval: refTransposed},
		{name: "gorgonia.Reshape", args: 1, fits: isMatrix, apply: ownOf(flat), eval: flattened},
		{name: "gorgonia.Slice", args: 1, fits: isMatrix, apply: ownOf(columns), eval: func(in []ref) ref {
			y, n := ref{shape: []int{in[0].shape[0], 2}}, in[0].shape[1]
			for r := range in[0].shape[0] {
				y.f = append(y.f, in[0].f[r*n:r*n+2]...)
			}
			return y
		}},
		{name: "gorgonia.Concat", args: 2, fits: sameWidth, apply: ownOf2(joined), eval: func(in []ref) ref {
			return ref{shape: []int{in[0].shape[0] + in[1].shape[0], in[0].shape[1]}, f: slices.Concat(in[0].f, in[1].f)}
		}},
		{name: "Transpose", args: 1, fits: isMatrix, eval: refTransposed,
			apply: kernelOf(func(g *Graph, x *Node) *Node { return Transpose(g, x) })},
		{name: "Reshape", args: 1, fits: isMatrix, eval: flattened,
			apply: kernelOf(func(g *Graph, x *Node) *Node { return Reshape(g, x, x.Shape().TotalSize()) })},
	}
}

func reductionOps() []mixedOp {
	total := refTotal(func(int) float64 { return 1 })
	mean := refTotal(func(n int) float64 { return 1 / float64(n) })
	along := func(axes ...int) func(*Graph, []*Node) (*Node, error) {
		return ownOf(func(x *Node) (*Node, error) { return gorgonia.Sum(x, axes...) })
	}
	meaned := ownOf(func(x *Node) (*Node, error) { return gorgonia.Mean(x) })
	return []mixedOp{
		{name: "gorgonia.Sum(0)", args: 1, fits: isMatrix, apply: along(0), eval: refSum(0)},
		{name: "gorgonia.Sum(1)", args: 1, fits: isMatrix, apply: along(1), eval: refSum(1)},
		{name: "gorgonia.Sum", args: 1, fits: isTensor, apply: along(), eval: total},
		{name: "gorgonia.Mean", args: 1, fits: isTensor, apply: meaned, eval: mean},
		{name: "Softmax", args: 1, fits: isTensor, apply: kernelOf(Softmax), eval: refSoftmax},
	}
}

// obstacles let no gradient through, one on purpose.
func obstacles() []mixedOp {
	same := each(func(x float64) float64 { return x })
	sign := each(func(x float64) float64 { return math.Copysign(1, x) })
	largest := ownOf(func(x *Node) (*Node, error) { return gorgonia.Max(x) })
	return []mixedOp{
		{name: "Detach", args: 1, fits: isTensor, apply: kernelOf(Detach), eval: same, cuts: true},
		{name: "gorgonia.Log2", args: 1, fits: anyShape, apply: ownOf(gorgonia.Log2), eval: each(math.Log2), safe: positive,
			refused: "log2"},
		{name: "gorgonia.Sign", args: 1, fits: anyShape, apply: ownOf(gorgonia.Sign), eval: sign, safe: away(0.01, 0),
			refused: "sign"},
		{name: "gorgonia.Max", args: 1, fits: isMatrix, apply: largest, refused: "MaxAlong", eval: func(in []ref) ref {
			return ref{shape: []int{}, f: []float64{slices.Max(in[0].f)}}
		}},
		{name: "a kernel without Backward", args: 1, fits: anyShape, eval: same, refused: "nogradient",
			apply: kernelOf(func(g *Graph, x *Node) *Node { return Apply(g, noGradient{}, x) })},
	}
}

func sameWidth(in []ref) bool {
	return isMatrix(in) && isMatrix(in[1:]) && in[0].shape[1] == in[1].shape[1]
}

func multiplies(in []ref) bool {
	return isMatrix(in) && isMatrix(in[1:]) && in[0].shape[1] == in[1].shape[0]
}

func flattened(in []ref) ref { return ref{shape: []int{len(in[0].f)}, f: in[0].f} }

// mixedStep is one operation of a mixedProgram, on values by number; the first numbers are the leaves'.
type mixedStep struct {
	op   mixedOp
	args []int
}

// mixedProgram is a random expression. It is interpreted in float64 and built as a graph.
type mixedProgram struct {
	leaves []ref
	kinds  []string // "param", "frozen" or "input"
	steps  []mixedStep
	ends   []int // the values that the loss adds up, weighted
	loss   string
}

// run interprets the program. detached are the values that Detach gave for the unmoved leaves, nil to record them.
func (p *mixedProgram) run(leaves []ref, detached map[int]ref) []ref {
	values := slices.Clone(leaves)
	for i, s := range p.steps {
		var in []ref
		for _, a := range s.args {
			in = append(in, values[a])
		}
		v := s.op.eval(in)
		if s.op.cuts && detached != nil {
			v = detached[len(leaves)+i]
		}
		values = append(values, v)
	}
	return values
}

// endWeight is the weight of end e at element i in the loss: no two alike, so that a transposed gradient shows.
func endWeight(e, i int) float64 { return 1 + 0.3*math.Sin(float64(7*e+3*i+1)) }

func (p *mixedProgram) lossAt(leaves []ref, detached map[int]ref) float64 {
	values := p.run(leaves, detached)
	var sum float64
	for e, at := range p.ends {
		for i, v := range values[at].f {
			sum += endWeight(e, i) * v
		}
	}
	return sum
}

// newMixedProgram draws a program: any operation on any values that fit it, one value as often as it likes, so that
// there are fan-outs, diamonds and repeated operands. Steps whose values are too large or too near a kink are drawn
// again.
func newMixedProgram(r *rand.Rand, steps int, refusable bool) *mixedProgram {
	p := &mixedProgram{}
	for i, shape := range [][]int{{2, 3}, {3, 4}, {3, 4}, {4, 3}, {4}, {3}, {3, 4}} {
		leaf := ref{shape: shape}
		for range (Spec{Shape: shape}).Size() {
			leaf.f = append(leaf.f, float64(float32(r.NormFloat64())))
		}
		p.leaves = append(p.leaves, leaf)
		p.kinds = append(p.kinds, []string{"frozen", "input", "param", "param", "param", "param", "param"}[i])
	}
	ops := mixedOps()
	values := slices.Clone(p.leaves)
	for len(p.steps) < steps {
		op := ops[r.IntN(len(ops))]
		if op.refused != "" && !refusable {
			continue
		}
		s := mixedStep{op: op}
		var in []ref
		for range op.args {
			at := r.IntN(len(values))
			if r.IntN(2) == 0 { // deep graphs: often a late value
				at = len(values) - 1 - r.IntN(min(4, len(values)))
			}
			s.args, in = append(s.args, at), append(in, values[at])
		}
		if !op.fits(in) || op.safe != nil && !op.safe(in) {
			continue
		}
		v := op.eval(in)
		if slices.ContainsFunc(v.f, func(x float64) bool { return !(math.Abs(x) < 15) }) {
			continue
		}
		p.steps, values = append(p.steps, s), append(values, v)
	}
	for range 3 {
		p.ends = append(p.ends, len(values)-1-r.IntN(min(6, len(p.steps))))
	}
	p.loss = []string{"kernel", "gorgonia"}[r.IntN(2)]
	return p
}

// expect says, from the program alone, which parameters have a gradient, and the operations that would have to be
// refused.
func (p *mixedProgram) expect() (reached map[int]bool, refused []string) {
	depends := make([]bool, len(p.leaves)+len(p.steps))
	for i, k := range p.kinds {
		depends[i] = k == "param"
	}
	for i, s := range p.steps {
		for _, a := range s.args {
			depends[len(p.leaves)+i] = depends[len(p.leaves)+i] || depends[a] && !s.op.cuts
		}
	}
	reached = map[int]bool{}
	for _, e := range p.ends {
		reached[e] = true
	}
	for i, s := range slices.Backward(p.steps) {

		if !reached[len(p.leaves)+i] || s.op.cuts {
			continue
		}
		for _, a := range s.args {
			if depends[a] {
				reached[a] = true
				if s.op.refused != "" {
					refused = append(refused, s.op.refused)
				}
			}
		}
	}
	return reached, refused
}

// mixedGraph is a mixedProgram as a graph.
type mixedGraph struct {
	*Graph
	params []*Param // by leaf, nil for an input
	values []*Node
	kept   []int
	loss   *Node
	inputs map[int]*Node
}

func (p *mixedProgram) build(keep func(i int) bool) (*mixedGraph, error) {
	m := &mixedGraph{inputs: map[int]*Node{}}
	g, err := Build(func(g *Graph) {
		m.Graph = g
		for i, leaf := range p.leaves {
			if p.kinds[i] == "input" {
				m.inputs[i] = g.Input("input", leaf.shape...)
				copyTo(g.Floats(m.inputs[i]), leaf.f)
				m.params, m.values = append(m.params, nil), append(m.values, m.inputs[i])
				continue
			}
			param := NewParam(fmt.Sprint("leaf", i), leaf.shape...)
			param.Frozen = p.kinds[i] == "frozen"
			copyTo(param.Data(), leaf.f)
			m.params, m.values = append(m.params, param), append(m.values, g.Param(param))
		}
		for i, s := range p.steps {
			var in []*Node
			for _, a := range s.args {
				in = append(in, m.values[a])
			}
			n, err := s.op.apply(g, in)
			if err != nil {
				Fail("%s: %v", s.op.name, err)
			}
			m.values = append(m.values, n)
			if at := len(p.leaves) + i; keep(at) {
				m.kept = append(m.kept, at)
				g.Keep(n)
			}
		}
		m.addLoss(p)
		g.Keep(m.loss)
		g.Backward(m.loss)
	})
	m.Graph = g
	return m, err
}

// addLoss adds the weighted sum of the program's ends, by kernels as [1] or by Gorgonia's operations as ().
func (m *mixedGraph) addLoss(p *mixedProgram) {
	for e, at := range p.ends {
		x := m.values[at]
		var err error
		if p.loss == "kernel" {
			x = Reshape(m.Graph, x, dims(x).TotalSize())
			w := m.Input(fmt.Sprint("weights", e), Shape(x)...)
			for i := range m.Floats(w) {
				m.Floats(w)[i] = float32(endWeight(e, i))
			}
			x = Apply(m.Graph, weigh{}, x, w)
			if m.loss != nil {
				x = Sum(m.Graph, m.loss, x)
			}
			m.loss = x
			continue
		}
		if len(x.Shape()) == 0 {
			x, err = gorgonia.HadamardProd(x, gorgonia.NewConstant(float32(endWeight(e, 0))))
		} else {
			w := m.Input(fmt.Sprint("weights", e), Shape(x)...)
			for i := range m.Floats(w) {
				m.Floats(w)[i] = float32(endWeight(e, i))
			}
			if x, err = gorgonia.HadamardProd(x, w); err == nil {
				x, err = gorgonia.Sum(x)
			}
		}
		if err == nil && m.loss != nil {
			if len(dims(x)) != len(dims(m.loss)) { // a loss of [1] and one of ()
				x = Reshape(m.Graph, x, Shape(m.loss)...)
			}
			x, err = gorgonia.Add(m.loss, x)
		}
		if err != nil {
			Fail("loss: %v", err)
		}
		m.loss = x
	}
}

func copyTo(dst []float32, src []float64) {
	for i, v := range src {
		dst[i] = float32(v)
	}
}

func (p *mixedProgram) String() string {
	var s strings.Builder
	for i, step := range p.steps {
		fmt.Fprintf(&s, "%d=%s%v ", len(p.leaves)+i, step.op.name, step.args)
	}
	return fmt.Sprintf("%sends %v, %s loss", s.String(), p.ends, p.loss)
}

// check builds the program and compares everything with the float64 interpreter; it says what became of it.
func (p *mixedProgram) check(t *testing.T) (outcome string) {
	t.Helper()
	reached, refused := p.expect()
	m, err := p.build(func(i int) bool { return i%3 == 0 })
	any := false
	for i, k := range p.kinds {
		any = any || k == "param" && reached[i]
	}
	switch {
	case err != nil && len(refused) > 0:
		if !slices.ContainsFunc(refused, func(s string) bool { return strings.Contains(err.Error(), s) }) {
			t.Errorf("%v: the error %q names none of %q", p, err, refused)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: the error %q is more than a line", p, err)
		}
		return "refused"
	case err != nil && !any && strings.Contains(err.Error(), "does not depend on any parameter"):
		return "no gradient"
	case err != nil:
		t.Fatalf("%v: %v", p, err)
	case len(refused) > 0:
		t.Fatalf("%v: no error, and the gradient through %q cannot be trusted", p, refused)
	}
	program, err := m.Compile()
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	defer program.Close()
	for range 2 { // a second run must not see what the first left
		poison(program)
		if err := program.Run(); err != nil {
			t.Fatalf("%v: %v", p, err)
		}
	}
	p.compare(t, m, program, reached)
	return "right"
}

// compare holds the program's values and gradients against the interpreter and its central differences.
func (p *mixedProgram) compare(t *testing.T, m *mixedGraph, program *Program, reached map[int]bool) {
	t.Helper()
	base := p.run(p.leaves, nil)
	detached := map[int]ref{}
	for i, v := range base {
		detached[i] = v
	}
	for _, at := range m.kept {
		for i, got := range program.Value(m.values[at]) {
			if !near(float64(got), base[at].f[i], rms64(base[at].f)+1) {
				t.Fatalf("%v: value %d[%d] is %v, want %v", p, at, i, got, base[at].f[i])
			}
		}
	}
	want := make([][]float64, len(p.leaves))
	var size float64
	for i, leaf := range p.leaves {
		for j := range leaf.f {
			const h = 1e-6
			at := func(h float64) float64 {
				leaves := slices.Clone(p.leaves)
				leaves[i].f = slices.Clone(leaf.f)
				leaves[i].f[j] += h
				return p.lossAt(leaves, detached)
			}
			want[i] = append(want[i], (at(h)-at(-h))/(2*h))
		}
		size = max(size, rms64(want[i]))
	}
	for i := range p.leaves {
		if p.kinds[i] != "param" {
			continue
		}
		grad := program.Grad(m.params[i])
		if (grad != nil) != reached[i] || slices.Contains(m.Unreached(), m.params[i]) == reached[i] {
			t.Fatalf("%v: leaf %d has a gradient %t and is unreached %t, want %t", p, i, grad != nil, !reached[i], reached[i])
		}
		for j := range grad {
			if math.Abs(float64(grad[j])-want[i][j]) > 1e-3*(math.Abs(want[i][j])+rms64(want[i]))+1e-5*(1+size) {
				t.Fatalf("%v: leaf %d: gradient[%d] is %v, central difference %v", p, i, j, grad[j], want[i][j])
			}
		}
	}
}

func rms64(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(x)))
}

// Kernels and Gorgonia's own operations on one graph, in every order and as often as one likes: the values and
// gradients are those of an independent interpreter in float64, or the graph is refused by the name of an operation in
// the way.
func TestMixedGraphs(t *testing.T) {
	outcomes := map[string]int{}
	used := map[string]bool{}
	for seed := range uint64(300) {
		r := random(seed)
		p := newMixedProgram(r, 4+r.IntN(14), seed%3 == 0)
		for _, s := range p.steps {
			used[s.op.name] = true
		}
		outcomes[p.check(t)]++
	}
	t.Logf("%v", outcomes)
	if outcomes["right"] < 200 || outcomes["refused"] < 20 {
		t.Errorf("outcomes %v: too few of one kind for a test", outcomes)
	}
	for _, op := range mixedOps() {
		if !used[op.name] {
			t.Errorf("%s was never drawn", op.name)
		}
	}
}

// FuzzMixedGraphs draws graphs from the fuzzer's seeds.
func FuzzMixedGraphs(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed+1000, uint8(6+4*seed), seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, steps uint8, refusable bool) {
		newMixedProgram(random(seed), 1+int(steps)%40, refusable).check(t)
	})
}
