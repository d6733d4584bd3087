package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/synapnet/synapnet-train/internal/host"
)

// Node is a node of the Gorgonia expression graph.
type Node = gorgonia.Node

// Param is a named tensor that training changes. Its memory is shared by every graph that uses it, so a training
// graph, an evaluation graph and graphs for other lengths all see the same weights.
type Param struct {
	Name   string        // the name in checkpoints, e.g. "blocks.0.ssm.gate.weight"
	Value  *tensor.Dense // float32
	Frozen bool          // true: no gradient is computed, the optimiser leaves it alone

	outline []int // the shape of a parameter without memory
}

// NewParam makes a parameter of zeros.
func NewParam(name string, shape ...int) *Param {
	return &Param{Name: name, Value: tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))}
}

// OutlineParam makes a parameter of a name and a shape without memory, for graphs that are only planned (Outline). It
// has no Data.
func OutlineParam(name string, shape ...int) *Param { return &Param{Name: name, outline: shape} }

// Data is the parameter's memory, row-major.
func (p *Param) Data() []float32 { return p.Value.Data().([]float32) }

// Shape gives the parameter's dimensions.
func (p *Param) Shape() []int {
	if p.Value == nil {
		return p.outline
	}
	return p.Value.Shape()
}

// Size is the number of elements.
func (p *Param) Size() int {
	if p.Value == nil {
		return Spec{Shape: p.outline}.Size()
	}
	return len(p.Data())
}

// Graph builds one Gorgonia expression graph for one set of shapes. Its methods and the operations of this package
// panic with an error when shapes do not fit; Build turns that into an ordinary error, which lets a layer be written
// as the equation it is.
type Graph struct {
	expr   *gorgonia.ExprGraph
	calls  []*call // in order of creation, hence topologically sorted
	byNode map[*Node]*call
	hashes map[uint32]*Node // see unique
	params map[*Param]*Node
	order  []*Param // parameters in order of first use
	inputs map[*Node]*tensor.Dense
	grads  map[*Param]*Node
	kept   []*Node

	differentiated bool
	unreached      []*Param

	outline bool // only planned: inputs have no memory
}

// Error is a mistake in the construction of a graph: shapes that do not fit, a missing operand.
type Error struct{ msg string }

func (e *Error) Error() string { return e.msg }

// Fail stops the construction of a graph with an error that Build returns.
func Fail(format string, args ...any) {
	panic(&Error{fmt.Sprintf(format, args...)})
}

// Build runs f on a new graph and returns the graph, or the error with which its construction failed.
func Build(f func(g *Graph)) (*Graph, error) { return newGraph(f, false) }

// Outline is Build of a graph of which nothing but its Plan is wanted: it takes no memory, whatever its shapes. Floats
// and Ints of its inputs are nil, its parameters need no memory, and it cannot be compiled.
func Outline(f func(g *Graph)) (*Graph, error) { return newGraph(f, true) }

func newGraph(f func(g *Graph), outline bool) (g *Graph, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			g, err = nil, r
		default:
			panic(r)
		}
	}()
	g = &Graph{
		expr:   gorgonia.NewGraph(),
		byNode: map[*Node]*call{},
		hashes: map[uint32]*Node{},
		params: map[*Param]*Node{},
		inputs: map[*Node]*tensor.Dense{},
		grads:  map[*Param]*Node{},

		outline: outline,
	}
	f(g)
	return g, nil
}

// Expr is the underlying Gorgonia graph, for operations of Gorgonia's own and for drawing it.
func (g *Graph) Expr() *gorgonia.ExprGraph { return g.expr }

// Input adds a float32 input of the given shape. Its memory, zero at first, is reached through Floats.
func (g *Graph) Input(name string, shape ...int) *Node {
	return g.input(name, tensor.Float32, shape)
}

// InputInts adds an int32 input (token ids, labels) of the given shape, reached through Ints.
func (g *Graph) InputInts(name string, shape ...int) *Node {
	return g.input(name, tensor.Int32, shape)
}

func (g *Graph) input(name string, dt tensor.Dtype, shape []int) *Node {
	for _, d := range shape {
		if d <= 0 {
			Fail("graph: input %s has shape %v: every dimension must be at least 1", name, shape)
		}
	}
	if g.outline {
		return g.leaf(name, dt, shape, nil)
	}
	if err := host.Check("input "+name, host.Times(append([]int{floatBytes}, shape...)...)); err != nil {
		Fail("graph: %v", err)
	}
	v := tensor.New(tensor.Of(dt), tensor.WithShape(shape...))
	n := g.leaf(name, dt, shape, v)
	g.inputs[n] = v
	return n
}

// Floats is the memory of a float32 input. Fill it before a run.
func (g *Graph) Floats(input *Node) []float32 {
	if g.outline {
		return nil
	}
	return g.inputs[input].Data().([]float32)
}

// Ints is the memory of an int32 input.
func (g *Graph) Ints(input *Node) []int32 {
	if g.outline {
		return nil
	}
	return g.inputs[input].Data().([]int32)
}

// Param is the parameter's node in this graph, made at its first use.
func (g *Graph) Param(p *Param) *Node {
	if p == nil {
		Fail("graph: missing parameter")
	}
	if n, ok := g.params[p]; ok {
		return n
	}
	if p.Value == nil && !g.outline {
		Fail("graph: parameter %s is an outline without memory", p.Name)
	}
	n := g.leaf(p.Name, tensor.Float32, p.Shape(), p.Value)
	g.params[p] = n
	g.order = append(g.order, p)
	return n
}

// leaf adds a node without operands. Gorgonia takes leaves with equal names for one; here equal names are no mistake.
// v is its value, nil in an outline.
func (g *Graph) leaf(name string, dt tensor.Dtype, shape []int, v *tensor.Dense) *Node {
	n, err := g.unique(func(salt int) (*Node, error) {
		options := []gorgonia.NodeConsOpt{gorgonia.WithShape(shape...), gorgonia.WithName(salted(name, salt))}
		if v != nil {
			options = append(options, gorgonia.WithValue(v))
		}
		return gorgonia.NewTensor(g.expr, dt, len(shape), options...), nil
	}, never)
	if err != nil {
		Fail("graph: %s: %v", name, err)
	}
	return n
}

// Params lists the parameters that the graph uses, in order of first use.
func (g *Graph) Params() []*Param { return g.order }

// Keep marks nodes whose values are read after a run; the memory of all others is reused during the run.
func (g *Graph) Keep(nodes ...*Node) { g.kept = append(g.kept, nodes...) }

// Shape gives a node's dimensions.
func Shape(n *Node) []int { return n.Shape() }
