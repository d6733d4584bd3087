package graph

import (
	"github.com/synapnet/synapnet-train/graph/vec"
	"gorgonia.org/gorgonia"
)

// Backward adds the gradient of loss [1] with respect to every parameter that is not frozen and that loss depends on.
//
// It is reverse-mode differentiation over Gorgonia's SDOp contract, as gorgonia.Grad is, with two differences that this
// model needs: a node with several consumers sums their gradients in one parallel operation (gorgonia.Grad chains
// single-threaded additions that allocate at every step), and a parameter that loss does not depend on simply has no
// gradient instead of being an error (no gradient reaches the salience MLP in sparse attention).
func (g *Graph) Backward(loss *Node) {
	if len(g.grads) > 0 {
		Fail("graph: Backward was called before on this graph")
	}
	needs := map[*Node]bool{}
	for p, n := range g.params {
		needs[n] = !p.Frozen
	}
	calls := g.calls
	for _, c := range calls {
		for i, d := range c.DiffWRT(len(c.inputs)) {
			needs[c.node] = needs[c.node] || d && needs[c.inputs[i]]
		}
	}
	if !needs[loss] {
		Fail("graph: the loss does not depend on any parameter that can be trained")
	}
	seed := g.Input("∂loss", Shape(loss)...)
	for i := range g.Floats(seed) { // none in an outline
		g.Floats(seed)[i] = 1
	}
	terms := map[*Node][]*Node{loss: {seed}}
	for i := len(calls) - 1; i >= 0; i-- {
		c := calls[i]
		if !needs[c.node] || len(terms[c.node]) == 0 {
			continue
		}
		wanted := make([]bool, len(c.inputs))
		for i, d := range c.DiffWRT(len(c.inputs)) {
			wanted[i] = d && needs[c.inputs[i]]
		}
		grads, err := c.diff(Sum(g, terms[c.node]...), wanted)
		if err != nil {
			Fail("graph: %v: %v", c, err)
		}
		for i, n := range c.inputs {
			if wanted[i] {
				terms[n] = append(terms[n], grads[i])
			}
		}
	}
	for _, p := range g.order {
		if t := terms[g.params[p]]; len(t) > 0 && !p.Frozen {
			g.grads[p] = Sum(g, t...)
		}
	}
}

// Sum is y = x1 + x2 + …, all of one shape. Its gradient is that of y, for each operand. The sum of one node is the node.
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
