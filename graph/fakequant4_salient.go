package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
)

// FakeQuantInt4Salient is FakeQuantInt4 of w [..., I] with its salient columns in floating point (AWQ; SPEC section 4):
// the columns count as 0 while the groups are formed and quantised, and the weights are added back to what 0 becomes.
// Straight-through: ∂w = ∂y everywhere.
func FakeQuantInt4Salient(g *Graph, w *Node, group int, salient []int) *Node {
	if len(salient) == 0 {
		return FakeQuantInt4(g, w, group)
	}
	return Apply(g, fakeInt4Salient{fakeInt4{group}, slices.Clone(salient)}, w)
}

type fakeInt4Salient struct {
	fakeInt4
	salient []int
}

func (o fakeInt4Salient) String() string {
	return fmt.Sprintf("fakequant(int4 group=%d salient=%v)", o.group, o.salient)
}

func (o fakeInt4Salient) Plan(in []Spec) (Plan, error) {
	for i, a := range o.salient {
		if a < 0 || a >= lastDim(in[0]) || slices.Contains(o.salient[:i], a) {
			return Plan{}, fmt.Errorf("got salient columns %v, want distinct ones within 0 … %d", o.salient, lastDim(in[0])-1)
		}
	}
	return o.fakeInt4.Plan(in)
}

func (o fakeInt4Salient) Forward(c *Call) {
	rows, d := c.In[0].Rows(), c.In[0].Dim(-1)
	Parallel(tiles(rows, rowTile), func(i int) {
		a, b := tile(i, rowTile, rows)
		for r := a; r < b; r++ {
			w, y := rowAt(c.In[0], r, d), rowAt(c.Out, r, d)
			copy(y, w)
			for _, j := range o.salient {
				y[j] = 0
			}
			for g := range slices.Chunk(y, o.group) {
				f := fitInt4(g)
				for j, x := range g {
					g[j] = f.value(f.code(x))
				}
			}
			for _, j := range o.salient {
				y[j] += w[j]
			}
		}
	})
}

func (o fakeInt4Salient) symGrad(in gorgonia.Nodes, grad *Node) gorgonia.Nodes {
	return o.fakeInt4.symGrad(in, grad)
}
