// Command custom-layer adds a layer of its own to a model, in this one file, and trains the model on a task of the
// registry:
//
//	go run ./examples/custom-layer
//
// The layer is the gated MLP of Shazeer, "GLU Variants Improve Transformer" (2020), known as SwiGLU,
//
//	y = (SiLU(x W₁ᵀ) ⊙ x W₃ᵀ) W₂ᵀ,
//
// with a kernel of its own for ⊙. main_test.go checks its gradients by central differences, and that the loss falls.
package main

import (
	"fmt"
	"log"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/layers"
)

// --- 1. An operation -------------------------------------------------------------------------------------------------

// product is a graph.Kernel, the elementwise product z = x ⊙ y. Most layers need no kernel of their own: package graph
// has those of the model. Write one where an equation has none, or where several steps belong into one pass over the data.
type product struct{}

// Product applies the kernel: every operation of package graph is a function like this one.
func Product(g *graph.Graph, x, y *graph.Node) *graph.Node { return graph.Apply(g, product{}, x, y) }

// String names the kernel. Attributes that change the result (an epsilon, a number of heads) must be part of it.
func (product) String() string { return "product" }

// Plan checks shapes when the graph is built, gives the result's, and tells what Backward will need. Its error becomes
// that of graph.Build, with the kernel's name in front. An operand without a gradient although it holds floats (a mask, a
// target) belongs into Plan.Constant.
func (product) Plan(in []graph.Spec) (graph.Plan, error) {
	x, y := in[0], in[1]
	if !slices.Equal(x.Shape, y.Shape) || x.Ints || y.Ints {
		return graph.Plan{}, fmt.Errorf("got shapes %v and %v, want equal ones of floats", x.Shape, y.Shape)
	}
	return graph.Plan{Out: x}, nil // Backward reads both operands, which is the default, and needs nothing else
}

// Forward writes c.Out. Memory is planned and contains whatever was there before: write every element. ParallelElements
// splits the work between the cores, always in the same way, so that results do not depend on how many there are.
func (product) Forward(c *graph.Call) {
	graph.ParallelElements(len(c.Out.F), func(a, b int) {
		vec.Mul(c.Out.F[a:b], c.In[0].F[a:b], c.In[1].F[a:b])
	})
}

// Backward makes the kernel differentiable: ∂x = ∂z ⊙ y, ∂y = ∂z ⊙ x. A gradient that nobody wants has no memory; one that
// is wanted must be written. Its receiver must be Forward's: without this method on the type that Apply gets, a graph with
// a parameter behind the kernel is refused by name.
func (product) Backward(c *graph.Call) {
	graph.ParallelElements(len(c.Grad.F), func(a, b int) {
		if dx := c.GradIn[0].F; dx != nil {
			vec.Mul(dx[a:b], c.Grad.F[a:b], c.In[1].F[a:b])
		}
		if dy := c.GradIn[1].F; dy != nil {
			vec.Mul(dy[a:b], c.Grad.F[a:b], c.In[0].F[a:b])
		}
	})
}

// --- 2. A layer ------------------------------------------------------------------------------------------------------

// SwiGLU is a struct of its parameters, here those of three Linear layers.
type SwiGLU struct {
	W1, W3 *layers.Linear // D → hidden
	W2     *layers.Linear // hidden → D
}

// NewSwiGLU registers the parameters under name.w1, name.w2 and name.w3, with the initial values of Linear. A parameter
// of another kind comes from ps.Zeros, ps.Ones, ps.Normal or ps.Uniform.
func NewSwiGLU(ps *layers.Params, name string, dim, hidden int) *SwiGLU {
	return &SwiGLU{
		W1: layers.NewLinear(ps, name+".w1", dim, hidden, false),
		W2: layers.NewLinear(ps, name+".w2", hidden, dim, false),
		W3: layers.NewLinear(ps, name+".w3", dim, hidden, false),
	}
}

// Forward adds the equation to a graph: x [B, T, D] to y [B, T, D].
func (l *SwiGLU) Forward(g *graph.Graph, x *graph.Node) *graph.Node {
	gate := l.W1.Forward(g, x, graph.SiLU)
	return l.W2.Forward(g, Product(g, gate, l.W3.Forward(g, x, graph.Identity)), graph.Identity)
}

// --- 3. A model with the layer in it ---------------------------------------------------------------------------------

// Model is a SynapBlock followed by a SwiGLU with its own normalisation and residual, between embedding and head.
type Model struct {
	Params    *layers.Params
	Embedding *layers.Embedding
	Block     *layers.SynapBlock
	Norm      *layers.LayerNorm
	Gated     *SwiGLU
	Head      *layers.Head
}

// NewModel makes a model with initial weights of the given seed.
func NewModel(c layers.Config, seed uint64) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	ps := layers.NewParams(seed)
	return &Model{
		Params:    ps,
		Embedding: layers.NewEmbedding(ps, c),
		Block:     layers.NewSynapBlock(ps, 0, c),
		Norm:      layers.NewLayerNorm(ps, "gated_norm", c.Dim),
		Gated:     NewSwiGLU(ps, "gated", c.Dim, 2*c.Dim),
		Head:      layers.NewHead(ps, c),
	}, nil
}

// Forward maps ids, int32 [B, T], to logits [B, 1, C].
func (m *Model) Forward(g *graph.Graph, ids *graph.Node) *graph.Node {
	x := m.Block.Forward(g, m.Embedding.Forward(g, ids), nil)
	y := graph.Sum(g, x.X, m.Gated.Forward(g, m.Norm.Forward(g, x.X)))
	last := graph.Shape(y)[1] - 1
	return m.Head.Classify(g, graph.SliceRows(g, y, last, 1), x.Bank)
}

// --- 4. Training -----------------------------------------------------------------------------------------------------

// The task: one class token is hidden among 32; the model has to tell which of the 8 it is.
var (
	config = layers.Config{
		Dim: 32, Depth: 1, Heads: 2, VocabSize: 64, MaxLen: 32, NumClasses: 8, KFrac: 0.25, EpisodicSlots: 8,
		EpisodicWriteFrac: 0.1, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: layers.SparseThreshold,
	}
	task = tasks.Params{Length: 32, Vocab: 64, Classes: 8}
)

const (
	taskName  = "niah_single"
	batchSize = 16
	rate      = 3e-3
)

// train makes the given number of steps and calls report with the loss of each.
func train(m *Model, steps int, report func(step int, loss float32)) error {
	samples, err := tasks.Generate(taskName, steps*batchSize, task, tasks.Seeded(42).For(tasks.Training, 0))
	if err != nil {
		return err
	}
	// A graph is built once for its shapes. Whatever does not fit is an error here and not a panic later.
	var ids, labels, loss *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		ids, labels = g.InputInts("ids", batchSize, task.Length), g.InputInts("labels", batchSize)
		loss = graph.CrossEntropy(g, m.Forward(g, ids), labels)
		g.Backward(loss)
		g.Keep(loss) // values that are not kept share their memory with others
	})
	if err != nil {
		return err
	}
	program, err := g.Compile()
	if err != nil {
		return err
	}
	defer program.Close()
	solver := graph.NewAdamW(0.9, 0.99, 1, &graph.Group{LR: rate, WeightDecay: 0.01, Params: m.Params.All()})
	for step := range steps {
		for i, s := range samples[step*batchSize : (step+1)*batchSize] {
			copy(g.Ints(ids)[i*task.Length:], s.IDs)
			g.Ints(labels)[i] = s.Label
		}
		if err := program.Run(); err != nil {
			return err
		}
		report(step, program.Value(loss)[0])
		if err := solver.Step(program.Gradients()); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	log.SetFlags(0)
	m, err := NewModel(config, 42)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d parameters, task %s, %d classes\n", m.Params.Count(), taskName, task.Classes)
	err = train(m, 201, func(step int, loss float32) {
		if step%20 == 0 {
			fmt.Printf("step %3d  loss %.3f\n", step, loss)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
}
