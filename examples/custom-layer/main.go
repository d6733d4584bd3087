// Command custom-layer adds a layer of its own to the blocks of a model, in this one file, and trains the model with
// the trainer of the library:
//
//	go run ./examples/custom-layer
//
// The layer is the gated MLP of Shazeer, "GLU Variants Improve Transformer" (2020), known as SwiGLU,
//
//	y = (SiLU(x W₁ᵀ) ⊙ x W₃ᵀ) W₂ᵀ,
//
// with a kernel of its own for ⊙. main_test.go checks its gradients by central differences, and that the model learns.
// examples/outside has one beside an architecture, a task, a policy and a scheme, in a module of its own.
package main

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/layers"
)

// --- 1. An operation -------------------------------------------------------------------------------------------------

// product is a graph.Kernel, the elementwise product z = x ⊙ y. Most layers need no kernel of their own: package graph
// has those of the model. Write one where an equation has none, or where several steps belong into one pass over the
// data.
type product struct{}

// Product applies the kernel: every operation of package graph is a function like this one.
func Product(g *graph.Graph, x, y *graph.Node) *graph.Node { return graph.Apply(g, product{}, x, y) }

// String names the kernel. Attributes that change the result (an epsilon, a number of heads) must be part of it.
func (product) String() string { return "product" }

// Plan checks shapes when the graph is built, gives the result's, and tells what Backward will need. Its error becomes
// that of graph.Build, with the kernel's name in front. An operand without a gradient although it holds floats (a mask,
// a target) belongs into Plan.Constant.
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

// Backward makes the kernel differentiable: ∂x = ∂z ⊙ y, ∂y = ∂z ⊙ x. A gradient that nobody wants has no memory; one
// that is wanted must be written. Its receiver must be Forward's: without this method on the type that Apply gets, a
// graph with a parameter behind the kernel is refused by name.
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

// GatedMLP is a struct of its parameters, here those of three Linear layers.
type GatedMLP struct {
	W1, W3 *layers.Linear // D → hidden
	W2     *layers.Linear // hidden → D
}

// NewGatedMLP registers the parameters under name.w1, name.w2 and name.w3, with the initial values of Linear. A
// parameter of another kind comes from ps.Zeros, ps.Ones, ps.Normal or ps.Uniform.
func NewGatedMLP(ps *layers.Params, name string, dim, hidden int) *GatedMLP {
	return &GatedMLP{
		W1: layers.NewLinear(ps, name+".w1", dim, hidden, false),
		W2: layers.NewLinear(ps, name+".w2", hidden, dim, false),
		W3: layers.NewLinear(ps, name+".w3", dim, hidden, false),
	}
}

// Forward adds the equation to a graph: x [B, T, D] to y [B, T, D].
func (l *GatedMLP) Forward(g *graph.Graph, x *graph.Node) *graph.Node {
	gate := l.W1.Forward(g, x, graph.SiLU)
	return l.W2.Forward(g, Product(g, gate, l.W3.Forward(g, x, graph.Identity)), graph.Identity)
}

// --- 3. Its name -----------------------------------------------------------------------------------------------------

// layerName is what block_layers calls the layer, widthOption a setting of its own: its width over D.
const (
	layerName   = "gated_mlp"
	widthOption = "gated_mlp_width"
)

func width(c layers.Config) int { return int(c.Option(widthOption) * float64(c.Dim)) }

// Registered, the layer can stand in the blocks of any SynapNet, x ← x + layer(LayerNorm(x)), with all that the library
// does with one: training, checkpoints, quantisation of its weights, packed files, streams.
func init() {
	err := layers.RegisterLayer(layers.LayerSpec{
		Name: layerName, Doc: "W₂ (SiLU(W₁ x) ⊙ W₃ x)", Source: "Shazeer, GLU Variants Improve Transformer (2020)",
		New: func(ps *layers.Params, name string, c layers.Config) layers.Layer {
			return NewGatedMLP(ps, name, c.Dim, width(c))
		},
		RowWise: true,
		Options: map[string]float64{widthOption: 2},
		Check: func(c layers.Config) error {
			if width(c) < 1 {
				return fmt.Errorf("%s is %g: it must give a width of at least 1", widthOption, c.Option(widthOption))
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
}

// --- 4. Training -----------------------------------------------------------------------------------------------------

// config is a run of the trainer, as a file for pretrain would have it. The task: one class token is hidden among 32;
// the model has to tell which of the 8 it is.
func config() curriculum.Config {
	c := curriculum.Default()
	c.Model = layers.Config{
		Dim: 32, Depth: 1, Heads: 2, VocabSize: 64, MaxLen: 32, NumClasses: 8, KFrac: 0.25, EpisodicSlots: 8,
		EpisodicWriteFrac: 0.1, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: layers.SparseThreshold,
		BlockLayers: []string{layerName}, Options: map[string]float64{widthOption: 2},
	}
	c.Mixture = []tasks.Weight{{Task: "niah_single", Share: 1}}
	c.Curriculum, c.SamplesPerStage, c.EpochsPerStage, c.BatchSize = []int{32}, 2416, 1, 16
	c.LR, c.WarmupSteps, c.EvalSamples = 3e-3, 10, 128
	return c
}

func main() {
	log.SetFlags(0)
	t, err := curriculum.New(config())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d parameters, layers in the block: %v\n", t.Model.Parameters(), t.Config.Model.BlockLayers)
	t.Hooks.Step = func(s curriculum.Step) {
		if s.Step%20 == 0 {
			fmt.Printf("step %3d  loss %.3f\n", s.Step, s.Loss)
		}
	}
	t.Hooks.Evaluation = func(e curriculum.EpochEvaluation) {
		fmt.Printf("accuracy on held-out samples %.3f [%.3f, %.3f]\n", e.Overall.Mean, e.Overall.Low, e.Overall.High)
	}
	if err := t.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
