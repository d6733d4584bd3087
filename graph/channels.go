package graph

import "github.com/synapnet/synapnet-train/graph/vec"

// ScaleChannels is y = x ⊙ s for x [..., D] and s [D]: ∂x = ∂y ⊙ s, ∂s = Σ_rows ∂y ⊙ x. SmoothQuant's activation side.
func ScaleChannels(g *Graph, x, s *Node) *Node { return Apply(g, scaleChannels{}, x, s) }

type scaleChannels struct{}

func (scaleChannels) String() string { return "scalechannels" }

func (scaleChannels) Plan(in []Spec) (Plan, error) {
	if err := wantShape("scale", in[1], lastDim(in[0])); err != nil {
		return Plan{}, err
	}
	return Plan{Out: in[0], Work: []Spec{floatSpec(tiles(rowsOf(in[0]), rowTile), lastDim(in[0]))}}, nil
}

func (scaleChannels) Forward(c *Call) {
	rows, d := c.Out.Rows(), c.Out.Dim(-1)
	ParallelRows(rows, func(r int) {
		vec.Mul(rowAt(c.Out, r, d), rowAt(c.In[0], r, d), c.In[1].F)
	})
}

func (scaleChannels) Backward(c *Call) {
	rows, d := c.Grad.Rows(), c.Grad.Dim(-1)
	Parallel(tiles(rows, rowTile), func(i int) {
		a, b := tile(i, rowTile, rows)
		ds := c.Work[0].F[i*d : (i+1)*d]
		clear(ds)
		for r := a; r < b; r++ {
			vec.MulAdd(ds, rowAt(c.Grad, r, d), rowAt(c.In[0], r, d))
			if dx := rowAt(c.GradIn[0], r, d); dx != nil {
				vec.Mul(dx, rowAt(c.Grad, r, d), c.In[1].F)
			}
		}
	})
	sumTiles(c.GradIn[1].F, c.Work[0].F, 0, d)
}
