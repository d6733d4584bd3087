package graph_test

import (
	"fmt"
	"log"

	"github.com/synapnet/synapnet-train/graph"
)

// cube is a kernel of one's own, y = x³.
type cube struct{}

func (cube) String() string { return "cube" }

// Plan checks the operands and gives the shape of the result: any tensor of floats, and one of the same shape.
func (cube) Plan(in []graph.Spec) (graph.Plan, error) {
	if in[0].Ints {
		return graph.Plan{}, fmt.Errorf("got integers, want floats")
	}
	return graph.Plan{Out: in[0]}, nil
}

// Forward writes every element of the result: what is in its memory is left from something else.
func (cube) Forward(c *graph.Call) {
	for i, x := range c.In[0].F {
		c.Out.F[i] = x * x * x
	}
}

// Backward makes it differentiable: ∂L/∂x = 3x² ∂L/∂y.
func (cube) Backward(c *graph.Call) {
	for i, x := range c.In[0].F {
		c.GradIn[0].F[i] = 3 * x * x * c.Grad.F[i]
	}
}

// A kernel of your own is a type with three or four methods. Gorgonia differentiates the graph that it stands in.
func ExampleKernel() {
	w := graph.NewParam("w", 2)
	copy(w.Data(), []float32{2, -1})
	var loss *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		y := graph.Apply(g, cube{}, g.Param(w))
		loss = graph.MeanSquaredError(g, y, g.Input("target", 2)) // the target is 0, 0 unless it is set
		g.Backward(loss)
		g.Keep(loss)
	})
	if err != nil {
		log.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("loss", p.Value(loss), "gradient", p.Grad(w))
	// Output: loss [32.5] gradient [96 -3]
}

// What does not fit is an error of Build, which names the kernel.
func ExampleBuild() {
	_, err := graph.Build(func(g *graph.Graph) {
		graph.MatMul(g, g.Input("a", 2, 3), g.Input("b", 4, 5))
	})
	fmt.Println(err)
	// Output: graph: matmul: got [2 3] and [4 5], want floats [..., M, K] and [..., K, N]
}
