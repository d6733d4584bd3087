package graph

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Spec is the shape and element type of a tensor.
type Spec struct {
	Shape []int
	Ints  bool // int32 instead of float32
}

// Size is the number of elements.
func (s Spec) Size() int {
	n := 1
	for _, d := range s.Shape {
		n *= d
	}
	return n
}

// Tensor is what a kernel sees of a tensor at run time: its shape and its row-major memory, F or I.
// A tensor that is not wanted (a gradient nobody needs, saved values outside training) has neither.
type Tensor struct {
	Shape []int
	F     []float32
	I     []int32
}

// Dim is the size of dimension i; negative i counts from the end.
func (t Tensor) Dim(i int) int {
	if i < 0 {
		i += len(t.Shape)
	}
	return t.Shape[i]
}

// Rows is the number of rows when the tensor is seen as a matrix whose columns are the last dimension.
func (t Tensor) Rows() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return (len(t.F) + len(t.I)) / t.Shape[len(t.Shape)-1]
}

// Call is one execution of a kernel.
type Call struct {
	In    []Tensor // the operands
	Out   Tensor   // the result: written by Forward; readable in Backward if Reads says so
	Saved []Tensor // written by Forward for Backward; without memory in graphs that are not differentiated
	Grad  Tensor   // Backward only: the gradient of Out
	// GradIn is what Backward writes (not adds to): the gradients of In. One without memory is not wanted.
	GradIn []Tensor
	Work   []Tensor // Backward only: temporary memory, contents undefined at the start
}

// Plan is what a kernel tells of itself when it is applied.
type Plan struct {
	Out   Spec
	Saved []Spec // what Forward leaves for Backward
	Work  []Spec // what Backward needs for itself
	// Unread lists the operands whose values Backward does not read, so that their memory can be reused.
	Unread []int
	// ReadsOut says that Backward reads the result.
	ReadsOut bool
	// Constant lists the operands that have no gradient although they are floats: labels, masks, quantities known before.
	// Backward writes none for them. A graph in which such an operand depends on a parameter that can be trained is
	// refused unless Detach says that this is meant. Integer operands have none anyway.
	Constant []int
}

// Kernel is a function of tensors, the unit from which graphs are built. String must contain every attribute that
// changes the result: Gorgonia takes two applications with equal strings and operands for one.
type Kernel interface {
	fmt.Stringer
	// Plan checks the operands' shapes and gives the result's; its error reads "got …, want …".
	Plan(in []Spec) (Plan, error)
	// Forward computes Out (and Saved) from In.
	Forward(c *Call)
}

// Differentiable is a kernel with a gradient.
type Differentiable interface {
	Kernel
	// Backward writes each wanted GradIn from Grad, In, Saved and Out.
	Backward(c *Call)
}

// transparent is a kernel whose gradient is an expression of existing nodes: nothing has to be computed for it.
type transparent interface {
	symGrad(in gorgonia.Nodes, grad *Node) gorgonia.Nodes
}

// storage is one piece of memory that the planner places. Several nodes can share one.
type storage struct {
	spec        Spec
	born, death int // positions in the order of execution, both inclusive
	tensor      Tensor
	value       *tensor.Dense
}

// result is the value that Gorgonia sees: a view of the memory, or one number, which Gorgonia wants by itself.
func (s *storage) result() gorgonia.Value {
	if len(s.spec.Shape) == 0 && !s.spec.Ints {
		return gorgonia.NewF32(s.tensor.F[0])
	}
	return s.value
}

// operation is what all Gorgonia Ops of this package are, whatever they do: known operands and a known result.
type operation struct {
	name   string
	inputs gorgonia.Nodes
	out    Spec
	salt   int // tells its hash from that of another node: see unique
}

func (o *operation) common() *operation { return o }

// The methods of a gorgonia.Op but Do.

func (o *operation) Arity() int            { return len(o.inputs) }
func (o *operation) ReturnsPtr() bool      { return true }
func (o *operation) CallsExtern() bool     { return false }
func (o *operation) OverwritesInput() int  { return -1 }
func (o *operation) WriteHash(h hash.Hash) { fmt.Fprint(h, salted(o.name, o.salt)) }
func (o *operation) Hashcode() uint32      { return hashOf(salted(o.name, o.salt)) }
func (o *operation) String() string        { return o.name }
func (o *operation) Type() hm.Type {
	var types []hm.Type
	for _, n := range o.inputs {
		types = append(types, n.Type())
	}
	return hm.NewFnType(append(types, typeOf(o.out))...)
}

// InferShape is the shape that was known when the operation was made.
func (o *operation) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return tensor.Shape(o.out.Shape).Clone(), nil
}

// call is one application of a kernel: the Gorgonia Op of its node.
type call struct {
	operation
	g      *Graph
	kernel Kernel
	plan   Plan
	in     []Spec
	node   *Node
	value  *storage
	saved  []*storage
	back   *backCall // nil outside training
	pos    position
	run    Call
}

// position is an instruction's place in the order for which memory was planned.
type position struct {
	at      int
	program *Program
}

// check guards the memory plan: it holds only for the order of execution for which it was made.
func (p *position) check(what fmt.Stringer) error {
	if p.program == nil {
		return fmt.Errorf("graph: %v was run before Compile", what)
	}
	if p.program.next != p.at {
		return fmt.Errorf("graph: %v was run as instruction %d, planned as %d", what, p.program.next, p.at)
	}
	p.program.next++
	return nil
}

// Apply adds kernel(inputs…) to the graph and returns its node.
func Apply(g *Graph, kernel Kernel, inputs ...*Node) *Node {
	c := &call{operation: operation{name: kernel.String(), inputs: inputs}, g: g, kernel: kernel}
	for i, n := range inputs {
		if n == nil {
			Fail("graph: %v: operand %d is missing", kernel, i)
		}
		if dt := n.Dtype(); dt != tensor.Float32 && dt != tensor.Int32 {
			Fail("graph: %v: operand %d is of type %v, want float32 or int32", kernel, i, dt)
		}
		c.in = append(c.in, specOf(n))
	}
	var err error
	if c.plan, err = kernel.Plan(c.in); err != nil {
		Fail("graph: %v: %v", kernel, err)
	}
	c.out = c.plan.Out
	c.value = &storage{spec: c.out}
	n, err := g.apply(c, c.same)
	if err != nil {
		Fail("graph: %v: %v", kernel, err)
	}
	if known, ok := g.byNode[n]; ok { // this very application was made before
		return known.node
	}
	c.node = n
	g.calls = append(g.calls, c)
	g.byNode[n] = c
	return n
}

func specOf(n *Node) Spec {
	return Spec{Shape: dims(n).Clone(), Ints: n.Dtype() == tensor.Int32}
}

func typeOf(s Spec) hm.Type {
	dt := tensor.Float32
	if s.Ints {
		dt = tensor.Int32
	}
	if len(s.Shape) == 0 { // Gorgonia's type of one number
		return dt
	}
	return gorgonia.TensorType{Dims: len(s.Shape), Of: dt}
}

func hashOf(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}

// same says whether node is the same kernel with the same operands.
func (c *call) same(node *Node) bool {
	known, ok := c.g.byNode[node]
	return ok && known.name == c.name && slices.Equal(known.inputs, c.inputs)
}

// DiffWRT makes call, with SymDiff, a gorgonia.SDOp.
func (c *call) DiffWRT(inputs int) []bool {
	d := make([]bool, inputs)
	for i := range d {
		d[i] = c.hasGradient() && !c.in[i].Ints && !slices.Contains(c.plan.Constant, i)
	}
	return d
}

// hasGradient says whether the kernel has a gradient at all.
func (c *call) hasGradient() bool {
	_, computed := c.kernel.(Differentiable)
	_, expressed := c.kernel.(transparent)
	return computed || expressed
}

// Do computes the kernel into the memory that was planned for it.
func (c *call) Do(values ...gorgonia.Value) (gorgonia.Value, error) {
	if err := c.pos.check(c); err != nil {
		return nil, err
	}
	if err := c.bind(values); err != nil {
		return nil, err
	}
	if c.pos.program.failure = c.protect(func() { c.kernel.Forward(&c.run) }); c.pos.program.failure != nil {
		return nil, c.pos.program.failure
	}
	return c.value.result(), nil
}

// protect turns a kernel's Fail into an error: the TapeMachine runs in a goroutine of its own, where a panic would end
// the process.
func (c *call) protect(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			err = r
		default:
			err = fmt.Errorf("graph: %v: %v", c, r)
		}
	}()
	f()
	return nil
}

func (c *call) bind(values []gorgonia.Value) error {
	for i, v := range values {
		var err error
		if c.run.In[i], err = tensorOf(v, c.in[i]); err != nil {
			return fmt.Errorf("graph: %v: operand %d: %w", c, i, err)
		}
	}
	return nil
}

func tensorOf(v gorgonia.Value, want Spec) (Tensor, error) {
	t := Tensor{Shape: want.Shape}
	switch data := rowMajor(v).(type) {
	case []float32:
		t.F = data
	case []int32:
		t.I = data
	case float32:
		t.F = []float32{data}
	default:
		return t, fmt.Errorf("got a value of %v, want float32 or int32", v.Dtype())
	}
	if n := len(t.F) + len(t.I); n != want.Size() {
		return t, fmt.Errorf("got %d elements, want %v", n, want.Shape)
	}
	return t, nil
}

// SymDiff adds one node that computes the gradients of all operands and returns, for each, a node that is a view of
// its result. A Gorgonia Op has one output; here the several outputs are memory that the planner knows by itself, so
// that a gradient used at once and one kept for the optimiser do not live equally long.
func (c *call) SymDiff(inputs gorgonia.Nodes, output, grad *Node) (gorgonia.Nodes, error) {
	return c.diff(grad, c.DiffWRT(len(inputs)))
}

func (c *call) diff(grad *Node, wanted []bool) (gorgonia.Nodes, error) {
	if t, ok := c.kernel.(transparent); ok {
		return t.symGrad(c.inputs, grad), nil
	}
	if _, ok := c.kernel.(Differentiable); !ok {
		return nil, fmt.Errorf("graph: %v has no gradient", c)
	}
	if c.back != nil {
		return nil, fmt.Errorf("graph: %v was differentiated before", c)
	}
	b := &backCall{fwd: c, grad: specOf(grad), reads: make([]int, len(c.inputs))}
	b.name, b.out = fmt.Sprintf("∂%v(%x)", c.name, c.node.ID()), Spec{Shape: []int{1}}
	c.back = b
	for _, s := range c.plan.Saved {
		c.saved = append(c.saved, &storage{spec: s})
	}
	unread := map[int]bool{}
	for _, i := range c.plan.Unread {
		unread[i] = true
	}
	b.inputs = gorgonia.Nodes{grad}
	for i, n := range c.inputs {
		if b.reads[i] = -1; !unread[i] {
			b.reads[i] = len(b.inputs)
			b.inputs = append(b.inputs, n)
		}
	}
	// The result is always an operand of the backward node, since Backward must come after Forward; its memory is
	// kept for it only if it is read.
	b.outAt = len(b.inputs)
	b.inputs = append(b.inputs, c.node)

	b.outs = make([]*storage, len(c.inputs))
	b.done = &storage{spec: b.out}
	for i := range c.inputs {
		if wanted[i] {
			b.outs[i] = &storage{spec: c.in[i]}
		}
	}
	for _, s := range c.plan.Work {
		b.work = append(b.work, &storage{spec: s})
	}
	node, err := c.g.apply(b, never)
	if err != nil {
		return nil, err
	}
	b.node = node
	grads := make(gorgonia.Nodes, len(c.inputs))
	for i, s := range b.outs {
		if s == nil {
			continue
		}
		p := &pick{operation{name: fmt.Sprintf("%v.%d", b.name, i), inputs: gorgonia.Nodes{node}, out: s.spec}, s}
		if grads[i], err = c.g.apply(p, never); err != nil {
			return nil, err
		}
	}
	return grads, nil
}

// backCall computes the gradients of one call: the Gorgonia Op of the node that SymDiff adds. Its own value is only
// a token [1]; the gradients are read through pick nodes.
type backCall struct {
	operation
	fwd   *call
	node  *Node
	grad  Spec
	reads []int // position of operand i among the inputs, -1 if it is not read
	outAt int   // position of the result among the inputs

	outs []*storage
	work []*storage
	done *storage
	pos  position
	run  Call
}

// Do computes every wanted gradient.
func (b *backCall) Do(values ...gorgonia.Value) (gorgonia.Value, error) {
	if err := b.pos.check(b); err != nil {
		return nil, err
	}
	var err error
	if b.run.Grad, err = tensorOf(values[0], b.grad); err != nil {
		return nil, fmt.Errorf("graph: %v: gradient: %w", b, err)
	}
	for i, at := range b.reads {
		if at >= 0 {
			b.run.In[i] = b.fwd.run.In[i]
		} else {
			b.run.In[i] = Tensor{Shape: b.fwd.in[i].Shape}
		}
	}
	if b.fwd.plan.ReadsOut {
		b.run.Out = b.fwd.value.tensor
	} else {
		b.run.Out = Tensor{Shape: b.fwd.plan.Out.Shape}
	}
	failure := b.fwd.protect(func() {
		b.mark()
		b.fwd.kernel.(Differentiable).Backward(&b.run)
		b.mustBeWritten()
	})
	if b.pos.program.failure = failure; failure != nil {
		return nil, failure
	}
	return b.done.value, nil
}

// unwritten is a NaN that no arithmetic makes: what stands in a gradient's first and last element before Backward.
const unwritten = 0x7fe51e57

// mark puts unwritten into the gradients that Backward is to write.
func (b *backCall) mark() {
	for _, t := range b.run.GradIn {
		if n := len(t.F); n > 0 {
			t.F[0], t.F[n-1] = math.Float32frombits(unwritten), math.Float32frombits(unwritten)
		}
	}
}

// mustBeWritten fails if Backward forgot a gradient: the memory holds what another operation left there.
func (b *backCall) mustBeWritten() {
	for i, t := range b.run.GradIn {
		if n := len(t.F); n > 0 && (math.Float32bits(t.F[0]) == unwritten || math.Float32bits(t.F[n-1]) == unwritten) {
			Fail("graph: %v: Backward did not write the gradient of operand %d, or not all of it", b.fwd, i)
		}
	}
}

// pick is the view of one gradient that a backCall computed.
type pick struct {
	operation
	value *storage
}

// Do returns the gradient's memory; nothing is copied.
func (p *pick) Do(...gorgonia.Value) (gorgonia.Value, error) { return p.value.result(), nil }
