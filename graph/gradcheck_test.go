package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// ref is a tensor of the float64 references.
type ref struct {
	shape []int
	f     []float64
	i     []int32
}

func (r ref) dim(i int) int {
	if i < 0 {
		i += len(r.shape)
	}
	return r.shape[i]
}

// rows is the number of rows when the last dimension is seen as the columns.
func (r ref) rows() int { return len(r.f) / r.dim(-1) }

// operand describes one operand of a kernel under test: integers if ints is set, otherwise a parameter with normal
// values, or those of fill.
type operand struct {
	shape  []int
	ints   func(r *rand.Rand, i int) int32
	fill   func(r *rand.Rand, i int) float32
	frozen bool
}

func floats(shape ...int) operand { return operand{shape: shape} }

// kernelCase is one application of a kernel with its reference.
type kernelCase struct {
	name     string
	operands []operand
	apply    func(g *Graph, in []*Node) *Node
	// reference computes the result in float64, by the formula in the kernel's doc comment.
	reference func(in []ref) []float64
}

// weigh is the test's loss: Σ w ⊙ y, with y differentiated and w not.
type weigh struct{}

func (weigh) String() string { return "weigh" }
func (weigh) Plan(in []Spec) (Plan, error) {
	return Plan{Out: floatSpec(1), Unread: []int{0}}, sameShape(in[0], in[1])
}
func (weigh) Forward(c *Call) {
	var sum float64
	for i, w := range c.In[1].F {
		sum += float64(w) * float64(c.In[0].F[i])
	}
	c.Out.F[0] = float32(sum)
}
func (weigh) Backward(c *Call) {
	for i, w := range c.In[1].F {
		if c.GradIn[0].F != nil {
			c.GradIn[0].F[i] = w * c.Grad.F[0]
		}
		if c.GradIn[1].F != nil {
			c.GradIn[1].F[i] = 0 // the upstream weights are not under test
		}
	}
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func fillNormal(r *rand.Rand, x []float32) {
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
}

// scene is a kernel applied to random operands under a random linear loss.
type scene struct {
	c       kernelCase
	params  []*Param // nil at integer operands
	in      []ref
	upWt    []float64
	out     *Node
	loss    *Node
	program *Program
}

func build(t testing.TB, c kernelCase, seed uint64) *scene {
	t.Helper()
	r := random(seed)
	s := &scene{c: c}
	var nodes []*Node
	var weights *Node
	g, err := Build(func(g *Graph) {
		for i, o := range c.operands {
			in := ref{shape: o.shape}
			if o.ints != nil {
				n := g.InputInts(fmt.Sprint("in", i), o.shape...)
				for j := range g.Ints(n) {
					g.Ints(n)[j] = o.ints(r, j)
				}
				in.i = g.Ints(n)
				nodes, s.params = append(nodes, n), append(s.params, nil)
			} else {
				p := NewParam(fmt.Sprint("in", i), o.shape...)
				p.Frozen = o.frozen
				for j := range p.Data() {
					if o.fill != nil {
						p.Data()[j] = o.fill(r, j)
					} else {
						p.Data()[j] = float32(r.NormFloat64())
					}
					in.f = append(in.f, float64(p.Data()[j]))
				}
				nodes, s.params = append(nodes, g.Param(p)), append(s.params, p)
			}
			s.in = append(s.in, in)
		}
		s.out = c.apply(g, nodes)
		weights = g.Input("weights", Shape(s.out)...)
		fillNormal(r, g.Floats(weights))
		s.loss = Apply(g, weigh{}, s.out, weights)
		g.Keep(s.out, s.loss)
		g.Backward(s.loss)
	})
	if err != nil {
		t.Fatal(err)
	}
	noteKernels(g)
	for _, w := range g.Floats(weights) {
		s.upWt = append(s.upWt, float64(w))
	}
	if s.program, err = g.Compile(); err != nil {
		t.Fatal(err)
	}
	return s
}

// lossAt is the reference's loss with operand i moved by h times v.
func (s *scene) lossAt(i int, h float64, v func(j int) float64) float64 {
	in := append([]ref(nil), s.in...)
	moved := append([]float64(nil), in[i].f...)
	for j := range moved {
		moved[j] += h * v(j)
	}
	in[i].f = moved
	var loss float64
	for j, y := range s.c.reference(in) {
		loss += s.upWt[j] * y
	}
	return loss
}

func (s *scene) slope(i int, v func(j int) float64) float64 {
	const h = 1e-5
	return (s.lossAt(i, h, v) - s.lossAt(i, -h, v)) / (2 * h)
}

// near applies the golden tolerance, 1e-4 relative + 1e-5 absolute; scale is the size that the absolute part refers to,
// since a sum of large terms that cancel has the rounding errors of its terms.
func near(got, want, scale float64) bool {
	return math.Abs(got-want) <= 1e-4*math.Abs(want)+1e-5*max(1, scale)
}

func rms(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(len(x)))
}

// checkKernel compares the result with the reference and the gradients with central differences of the reference: some
// elements of each operand alone, and one random direction through all of them.
func checkKernel(t *testing.T, c kernelCase, seed uint64) {
	t.Helper()
	s := build(t, c, seed)
	defer s.program.Close()
	if err := s.program.Run(); err != nil {
		t.Fatal(err)
	}
	got, want := s.program.Value(s.out), c.reference(s.in)
	if len(got) != len(want) {
		t.Fatalf("the result has %d elements, the reference %d", len(got), len(want))
	}
	for j := range want {
		if !near(float64(got[j]), want[j], 1) {
			t.Fatalf("result[%d] = %v, want %v", j, got[j], want[j])
		}
	}
	r := random(seed + 1000)
	for i, p := range s.params {
		if p == nil || p.Frozen {
			continue
		}
		s.checkGradient(t, r, i)
	}
}

func (s *scene) checkGradient(t *testing.T, r *rand.Rand, i int) {
	t.Helper()
	grad := s.program.Grad(s.params[i])
	if len(grad) != s.params[i].Size() {
		t.Fatalf("operand %d: got %d gradients for %d elements", i, len(grad), s.params[i].Size())
	}
	size := rms(grad)
	for range min(len(grad), 10) {
		k := r.IntN(len(grad))
		want := s.slope(i, func(j int) float64 {
			if j == k {
				return 1
			}
			return 0
		})
		if !near(float64(grad[k]), want, size) {
			t.Errorf("operand %d: gradient[%d] = %v, central difference %v", i, k, grad[k], want)
		}
	}
	direction := make([]float64, len(grad))
	var got, norm float64
	for j := range direction {
		direction[j] = r.NormFloat64()
		term := direction[j] * float64(grad[j])
		got += term
		norm += term * term
	}
	want := s.slope(i, func(j int) float64 { return direction[j] })
	if !near(got, want, math.Sqrt(norm)) {
		t.Errorf("operand %d: gradient along a random direction %v, central difference %v", i, got, want)
	}
}

func checkKernels(t *testing.T, cases []kernelCase) {
	t.Helper()
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) { checkKernel(t, c, uint64(i)+7) })
	}
}
