package graph

import (
	"slices"

	"github.com/synapnet/synapnet-train/graph/vec"
	"gorgonia.org/gorgonia"
)

// Backward adds the gradient of loss, one number of shape [1] or (), with respect to every parameter that is not frozen
// and that loss depends on.
//
// It is reverse-mode differentiation over Gorgonia's SDOp contract, as gorgonia.Grad is, for kernels and Gorgonia's own
// operations alike, with two differences that this model needs: a node with several consumers sums their gradients in
// one parallel operation (gorgonia.Grad chains single-threaded additions that allocate at every step), and a parameter
// that loss does not depend on has no gradient instead of being an error (no gradient reaches the salience MLP in
// sparse attention); Unreached lists those.
//
// No gradient is lost on the way. An operation between a parameter and the loss that cannot pass it on is an error that
// names it: a kernel that is not Differentiable, an operand in its Plan.Constant, an operation of Gorgonia whose own
// gradient is wrong. Where no gradient is meant to flow, Detach says so; through integers (positions, labels) none can.
func (g *Graph) Backward(loss *Node) {
	if g.differentiated {
		Fail("graph: Backward was called before on this graph")
	}
	g.differentiated = true
	b := &backward{graph: g, needs: map[*Node]bool{}, terms: map[*Node][]*Node{}, done: map[*Node]bool{}}
	for p, n := range g.params {
		b.needs[n] = !p.Frozen
	}
	nodes := append(gorgonia.Nodes(nil), g.expr.AllNodes()...) // in order of creation, hence topologically sorted
	for _, n := range nodes {
		for _, operand := range operandsOf(n) {
			b.needs[n] = b.needs[n] || b.needs[operand] && passes(n, operand)
		}
	}
	if loss == nil || !b.needs[loss] {
		Fail("graph: the loss does not depend on any parameter that can be trained")
	}
	if dims(loss).TotalSize() != 1 {
		Fail("graph: the loss %v has shape %v, want one number: [1] or ()", loss, loss.Shape())
	}
	b.terms[loss] = []*Node{b.seed(loss)}
	for _, n := range slices.Backward(nodes) {

		if len(b.terms[n]) > 0 && n.Op() != nil {
			b.visit(n)
		}
		b.done[n] = true
	}
	for _, p := range g.order {
		switch t := b.terms[g.params[p]]; {
		case p.Frozen:
		case len(t) > 0:
			g.grads[p] = Sum(g, t...)
		default:
			g.unreached = append(g.unreached, p)
		}
	}
}

// Unreached lists the parameters of the graph, in order of first use, which may be trained but to which no gradient of
// the loss flows: the loss does not depend on them, or only through integers, comparisons or Detach. Training leaves
// them as they are.
func (g *Graph) Unreached() []*Param { return g.unreached }

// Trains says whether a gradient of the loss reaches the parameter.
func (g *Graph) Trains(p *Param) bool { return g.grads[p] != nil }

// backward is the state of one Backward.
type backward struct {
	graph *Graph
	needs map[*Node]bool    // the nodes that depend on a parameter with a gradient
	terms map[*Node][]*Node // what a node's consumers contribute to its gradient
	done  map[*Node]bool
}

// seed is the gradient of the loss with respect to itself, 1.
func (b *backward) seed(loss *Node) *Node {
	seed := b.graph.Input("∂loss", 1)
	if one := b.graph.Floats(seed); len(one) > 0 { // none in an outline
		one[0] = 1
	}
	return b.shaped(seed, loss)
}

// shaped is a gradient with the shape of the node that it belongs to: one number may be (), [1] or [1, 1].
func (b *backward) shaped(grad, of *Node) *Node {
	if dims(grad).Eq(dims(of)) {
		return grad
	}
	return Reshape(b.graph, grad, of.Shape()...)
}

// visit hands the gradient of n on to the operands of n.
func (b *backward) visit(n *Node) {
	operands := operandsOf(n)
	wanted := make([]bool, len(operands))
	some := false
	for i, operand := range operands {
		wanted[i] = b.needs[operand] && passes(n, operand)
		some = some || wanted[i]
	}
	if !some {
		return
	}
	c, isKernel := n.Op().(*call)
	if isKernel {
		c.mustPass(wanted)
	} else {
		mustPass(n, operands, wanted)
	}
	grad := Sum(b.graph, b.terms[n]...)
	var grads gorgonia.Nodes
	var err error
	if isKernel {
		grads, err = c.diff(grad, wanted)
	} else {
		grads, err = b.symDiff(n, operands, grad, wanted)
	}
	if err != nil {
		Fail("graph: %v: %v", n.Op(), err)
	}
	for i, operand := range operands {
		if !wanted[i] {
			continue
		}
		if b.done[operand] {
			Fail("graph: %v: operand %d was made after it: its gradient would be lost", n.Op(), i)
		}
		b.terms[operand] = append(b.terms[operand], grads[i])
	}
}

// mustPass fails for a kernel that lets no gradient through to an operand that needs one.
func (c *call) mustPass(wanted []bool) {
	differentiable := c.DiffWRT(len(wanted))
	for i, w := range wanted {
		switch {
		case !w || differentiable[i]:
		case !c.hasGradient():
			Fail("graph: %v: operand %d depends on a parameter that can be trained, and the kernel %T has no Backward: "+
				"give it one (check its receiver), or put graph.Detach before it if no gradient shall flow", c, i, c.kernel)
		default:
			Fail("graph: %v: operand %d depends on a parameter that can be trained, and the kernel's Plan calls it "+
				"constant: mend the kernel, or put graph.Detach before it if no gradient shall flow", c, i)
		}
	}
}

// Detach is y = x, of any shape, through which no gradient flows: what depends on a parameter through y alone counts
// as constant.
func Detach(g *Graph, x *Node) *Node { return Apply(g, detach{}, x) }

type detach struct{}

func (detach) String() string { return "detach" }

func (detach) Plan(in []Spec) (Plan, error) { return Plan{Out: in[0], Constant: []int{0}}, nil }

func (detach) Forward(c *Call) {
	copy(c.Out.F, c.In[0].F)
	copy(c.Out.I, c.In[0].I)
}

// passes says whether a gradient of n could flow to operand. It cannot if either holds integers or truth values, if n
// detaches, or if n reads nothing but the shape.
func passes(n, operand *Node) bool {
	if c, ok := n.Op().(*call); ok {
		if _, cut := c.kernel.(detach); cut {
			return false
		}
	}
	return isFloat(n) && isFloat(operand) && !readsShape(n) && !compares(n)
}

// Sum is y = x1 + x2 + …, all of one shape. Its gradient is that of y, for each operand. The sum of one node is the
// node.
func Sum(g *Graph, xs ...*Node) *Node {
	switch len(xs) {
	case 0:
		Fail("graph: sum of nothing")
	case 1:
		return xs[0]
	}
	return Apply(g, sum{}, xs...)
}

type sum struct{}

func (sum) String() string { return "sum" }

func (sum) Plan(in []Spec) (Plan, error) {
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	for _, s := range in[1:] {
		if err := sameShape(in[0], s); err != nil {
			return Plan{}, err
		}
	}
	return Plan{Out: in[0]}, nil
}

func (sum) symGrad(in gorgonia.Nodes, grad *Node) gorgonia.Nodes {
	grads := make(gorgonia.Nodes, len(in))
	for i := range grads {
		grads[i] = grad
	}
	return grads
}

func (sum) Forward(c *Call) {
	Parallel(tiles(len(c.Out.F), elementTile), func(i int) {
		a, b := tile(i, elementTile, len(c.Out.F))
		out := c.Out.F[a:b]
		vec.Add(out, c.In[0].F[a:b], c.In[1].F[a:b])
		for _, x := range c.In[2:] {
			vec.Add(out, out, x.F[a:b])
		}
	})
}
