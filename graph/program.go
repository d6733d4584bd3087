package graph

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sort"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/synapnet/synapnet-train/internal/host"
)

// Program is a graph made ready to run: instructions for Gorgonia's TapeMachine, and memory for every intermediate
// value, planned once. Nodes whose lives do not overlap share memory; a run allocates next to nothing.
type Program struct {
	graph   *Graph
	machine gorgonia.VM
	next    int   // the instruction that is due
	failure error // what a kernel reported
	arena   []float32
	kept    map[*Node]bool
	nodes   gorgonia.Nodes // in order of execution
}

// Compile plans memory for what the kept nodes and the gradients depend on; nothing else is computed.
func (g *Graph) Compile() (*Program, error) {
	if g.outline {
		return nil, fmt.Errorf("graph: an outline is only planned: Build the graph to compile it")
	}
	p, wanted, err := g.schedule()
	if err != nil {
		return nil, err
	}
	if err := p.allocate(p.lifetimes()); err != nil {
		return nil, err
	}
	prog, locations, err := gorgonia.Compile(wanted)
	if err != nil {
		return nil, fmt.Errorf("graph: %w", err)
	}
	p.machine = gorgonia.NewTapeMachine(wanted, gorgonia.WithPrecompiled(prog, locations))
	// The machine and this program refer to each other, and Go never frees a cycle with a finalizer in it: every program
	// and its memory would stay for good. Gorgonia's finalizer does nothing but what Close does.
	runtime.SetFinalizer(p.machine, nil)
	return p, nil
}

// MemoryPlan is the memory that a Program would take, in bytes, beside its inputs and parameters.
type MemoryPlan struct {
	Arena     int // intermediate values and gradients, as Program.ArenaBytes
	Gradients int // the part of the arena that holds parameters' gradients
}

// Plan is the plan that Compile would make; nothing is allocated. It tells whether a graph fits a machine before it
// is run there. Do not use it on a graph that was compiled.
func (g *Graph) Plan() (MemoryPlan, error) {
	p, _, err := g.schedule()
	if err != nil {
		return MemoryPlan{}, err
	}
	_, total := place(p.lifetimes())
	plan := MemoryPlan{Arena: floatBytes * total}
	for param := range g.grads {
		plan.Gradients += floatBytes * param.Size()
	}
	return plan, nil
}

// schedule puts what the kept nodes and the gradients depend on in its order of execution.
func (g *Graph) schedule() (*Program, *gorgonia.ExprGraph, error) {
	p := &Program{graph: g, kept: map[*Node]bool{}}
	for _, n := range g.kept {
		p.kept[n] = true
	}
	for _, n := range g.grads {
		p.kept[n] = true
	}
	roots := gorgonia.Nodes(slices.Collect(maps.Keys(p.kept)))
	if len(roots) == 0 {
		return nil, nil, fmt.Errorf("graph: nothing to compute: Keep the nodes whose values are wanted")
	}
	sort.Slice(roots, func(i, j int) bool { return roots[i].ID() < roots[j].ID() })
	roots, err := g.holdForeign(roots)
	if err != nil {
		return nil, nil, err
	}
	wanted := g.expr.ExactSubgraphRoots(roots...)
	sorted, err := gorgonia.Sort(wanted)
	if err != nil {
		return nil, nil, fmt.Errorf("graph: %w", err)
	}
	for _, s := range slices.Backward(sorted) { // Sort puts the roots first
		p.nodes = append(p.nodes, s)
	}
	return p, wanted, distinctHashes(p.nodes)
}

// storageOf is the planned memory of a node's value, nil for inputs, parameters and Gorgonia's own operations.
func storageOf(n *Node) *storage {
	switch op := n.Op().(type) {
	case *call:
		return op.value
	case *pick:
		return op.value
	}
	return nil
}

// lifetimes finds, for every piece of memory, the instructions between which it must be preserved.
func (p *Program) lifetimes() []*storage {
	var all []*storage
	at := map[*Node]int{}
	instruction := 0
	for t, n := range p.nodes {
		at[n] = t
		born, uses, instructions := p.touches(n, instruction)
		instruction += instructions
		for _, s := range born {
			s.born, s.death = t, t
			all = append(all, s)
		}
		for _, s := range uses {
			s.death = max(s.death, t)
		}
	}
	// What is read after the run, or by an operation of Gorgonia's own that may return a view of it, lives on.
	end := len(p.nodes)
	for _, n := range p.nodes {
		s := storageOf(n)
		if s == nil {
			continue
		}
		if p.kept[n] {
			s.death = end
		}
		for parents := p.graph.expr.To(n.ID()); parents.Next(); {
			parent := parents.Node().(*Node)
			if _, in := at[parent]; in && !planned(parent) {
				s.death = end
			}
		}
	}
	return all
}

// touches gives n its place among the instructions, and lists the memory that it writes first and that which it reads.
func (p *Program) touches(n *Node, instruction int) (born, uses []*storage, instructions int) {
	var operands gorgonia.Nodes
	switch op := n.Op().(type) {
	case *call:
		op.pos = position{instruction, p}
		operands, born, instructions = op.inputs, append(append(born, op.value), op.saved...), 1
	case *backCall:
		op.pos = position{instruction, p}
		if operands = op.inputs; !op.fwd.plan.ReadsOut {
			operands = operands[:op.outAt]
		}
		for _, s := range op.outs {
			if s != nil {
				born = append(born, s)
			}
		}
		uses, born, instructions = append(uses, op.fwd.saved...), append(born, op.work...), 1
	}
	for _, u := range operands {
		if s := storageOf(u); s != nil {
			uses = append(uses, s)
		}
	}
	return born, uses, instructions
}

func planned(n *Node) bool {
	switch n.Op().(type) {
	case *call, *backCall, *pick, *hold:
		return true
	}
	return false
}

// alignment of each tensor in the arena, in floats: one cache line, so that vector loads do not straddle two.
const alignment = 16

const floatBytes = 4

// place finds an address in one arena for every tensor of floats, the largest first, each at the lowest that is free
// during its whole life (greedy by size, Pisarchyk and Lee 2020). Addresses and the arena's size are in floats.
func place(all []*storage) (offsets map[*storage]int, total int) {
	var floats []*storage
	for _, s := range all {
		if !s.spec.Ints { // indices are few and small: not worth planning
			floats = append(floats, s)
		}
	}
	sort.SliceStable(floats, func(i, j int) bool { return floats[i].spec.Size() > floats[j].spec.Size() })
	type span struct {
		s        *storage
		from, to int
	}
	var placed []span // by address
	offsets = map[*storage]int{}
	for _, s := range floats {
		size := (s.spec.Size() + alignment - 1) / alignment * alignment
		at := 0
		for _, o := range placed {
			if o.s.born > s.death || s.born > o.s.death {
				continue
			}
			if at+size <= o.from {
				break
			}
			at = max(at, o.to)
		}
		offsets[s] = at
		i := sort.Search(len(placed), func(i int) bool { return placed[i].from > at })
		placed = slices.Insert(placed, i, span{s, at, at + size})
		total = max(total, at+size)
	}
	return offsets, total
}

// allocate gives every tensor its memory, or is an error if there is too little.
func (p *Program) allocate(all []*storage) error {
	offsets, total := place(all)
	if err := host.CheckComputation("one step of the computation", host.Times(floatBytes, total)); err != nil {
		return fmt.Errorf("graph: %w", err)
	}
	p.arena = make([]float32, total)
	for _, s := range all {
		n := s.spec.Size()
		if s.spec.Ints {
			s.bind(nil, make([]int32, n))
			continue
		}
		at := offsets[s]
		s.bind(p.arena[at:at+n:at+n], nil)
	}
	for _, n := range p.nodes {
		switch op := n.Op().(type) {
		case *call:
			op.bindStorage()
		case *backCall:
			op.bindStorage()
		}
	}
	return nil
}

func (s *storage) bind(f []float32, i []int32) {
	s.tensor = Tensor{Shape: s.spec.Shape, F: f, I: i}
	backing := any(f)
	if i != nil {
		backing = i
	}
	s.value = tensor.New(tensor.WithShape(s.spec.Shape...), tensor.WithBacking(backing))
}

func (c *call) bindStorage() {
	c.run = Call{In: make([]Tensor, len(c.inputs)), Out: c.value.tensor, Saved: make([]Tensor, len(c.plan.Saved))}
	for i, s := range c.saved {
		c.run.Saved[i] = s.tensor
	}
}

func (b *backCall) bindStorage() {
	b.done.bind([]float32{0}, nil)
	b.run = Call{In: make([]Tensor, len(b.fwd.inputs)), Saved: b.fwd.run.Saved, GradIn: make([]Tensor, len(b.outs))}
	for i, s := range b.outs {
		if s != nil {
			b.run.GradIn[i] = s.tensor
		}
	}
	for _, s := range b.work {
		b.run.Work = append(b.run.Work, s.tensor)
	}
}

// ArenaBytes is the memory that the intermediate values share.
func (p *Program) ArenaBytes() int { return floatBytes * len(p.arena) }

// Run computes everything once, from the present contents of inputs and parameters.
func (p *Program) Run() error {
	p.next, p.failure = 0, nil
	p.machine.Reset()
	err := p.machine.RunAll()
	host.Settled()
	if p.failure != nil { // the kernel's own words, without the machine's registers and instructions
		return p.failure
	}
	return err
}

// Value is the result of a kept node after a run: float32, row-major, valid until the next run.
func (p *Program) Value(n *Node) []float32 {
	p.mustKeep(n)
	return floatsOf(n)
}

// Ints is the result of a kept int32 node.
func (p *Program) Ints(n *Node) []int32 {
	p.mustKeep(n)
	return n.Value().Data().([]int32)
}

func (p *Program) mustKeep(n *Node) {
	if !p.kept[n] && storageOf(n) != nil {
		panic(fmt.Sprintf("graph: the value of %v is gone: Keep it before Compile", n))
	}
}

// Grad is the gradient of a parameter after a run of a graph with Backward, nil if the loss does not depend on it.
func (p *Program) Grad(param *Param) []float32 {
	n, ok := p.graph.grads[param]
	if !ok {
		return nil
	}
	return floatsOf(n)
}

// Close frees the machine. What it returns concerns devices other than the CPU, which a Program does not use.
func (p *Program) Close() { _ = p.machine.Close() }
