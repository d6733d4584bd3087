package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
)

// FakeQuantInt4 is asymmetric 4-bit quantisation and back of w [..., I], in groups of `group` along the last dimension
// (SPEC section 4): per group scale = max((max-min)/15, 1e-6), zero = -min/scale (not rounded),
// q = clamp((w-min)/scale, 0, 15) rounded half to even, and the result is (q - zero) scale. A short last group is taken
// as if filled up with its last column, which changes neither its min nor its max. Straight-through: ∂w = ∂y.
func FakeQuantInt4(g *Graph, w *Node, group int) *Node { return Apply(g, fakeInt4{group}, w) }

type fakeInt4 struct{ group int }

func (o fakeInt4) String() string { return fmt.Sprintf("fakequant(int4 group=%d)", o.group) }

func (o fakeInt4) Plan(in []Spec) (Plan, error) {
	if o.group < 1 {
		return Plan{}, fmt.Errorf("got group size %d, want at least 1", o.group)
	}
	return Plan{Out: in[0]}, wantFloats(in[0])
}

func (o fakeInt4) Forward(c *Call) {
	rows, d := c.In[0].Rows(), c.In[0].Dim(-1)
	Parallel(tiles(rows, rowTile), func(i int) {
		a, b := tile(i, rowTile, rows)
		for r := a; r < b; r++ {
			y := rowAt(c.Out, r, d)
			copy(y, rowAt(c.In[0], r, d))
			for g := range slices.Chunk(y, o.group) {
				f := fitInt4(g)
				for j, w := range g {
					g[j] = f.value(f.code(w))
				}
			}
		}
	})
}

func (fakeInt4) symGrad(_ gorgonia.Nodes, grad *Node) gorgonia.Nodes { return gorgonia.Nodes{grad} }

// int4Levels is the largest 4-bit code.
const int4Levels = 15

// LeastInt4Scale is the least scale of FakeQuantInt4 (SPEC section 4); FakeQuantInt4Compact has none of this size. A group
// that is narrower becomes one value, within 1e-6 of each.
const LeastInt4Scale = 1e-6

// int4Group is the range of one group.
type int4Group struct{ low, scale, zero float32 }

func fitInt4(w []float32) int4Group {
	low, high := w[0], w[0]
	for _, x := range w {
		low, high = min(low, x), max(high, x)
	}
	scale := max((high-low)/int4Levels, LeastInt4Scale)
	return int4Group{low: low, scale: scale, zero: -low / scale}
}

func (g int4Group) code(w float32) float32 {
	return roundEven(min(max((w-g.low)/g.scale, 0), int4Levels))
}

func (g int4Group) value(code float32) float32 { return (code - g.zero) * g.scale }

// Int4 is a matrix [rows, Cols] in 4-bit codes with a scale and a zero per row and group of columns.
type Int4 struct {
	Cols, Group   int
	Codes         []int8    // 0 … 15, [rows, Cols]
	Scales, Zeros []float32 // [rows, groups of a row]
}

// QuantizeInt4 quantises w [rows, cols] as FakeQuantInt4 does. A weight that is not finite is an error.
func QuantizeInt4(w []float32, cols, group int) (Int4, error) {
	if cols < 1 || group < 1 || len(w)%cols != 0 {
		return Int4{}, fmt.Errorf("graph: int4: got %d weights in rows of %d and groups of %d, want whole rows and a group size of at least 1", len(w), cols, group)
	}
	if !finite(w) {
		return Int4{}, fmt.Errorf("graph: int4: the weights contain values that are not finite")
	}
	q := Int4{Cols: cols, Group: group}
	for row := range slices.Chunk(w, cols) {
		for g := range slices.Chunk(row, group) {
			f := fitInt4(g)
			q.Scales, q.Zeros = append(q.Scales, f.scale), append(q.Zeros, f.zero)
			for _, x := range g {
				q.Codes = append(q.Codes, int8(f.code(x)))
			}
		}
	}
	return q, nil
}

// Dequantize is the matrix that the codes stand for: bit for bit the result of FakeQuantInt4.
func (q Int4) Dequantize() []float32 {
	w := make([]float32, len(q.Codes))
	perRow := tiles(q.Cols, q.Group)
	for i, c := range q.Codes {
		g := i/q.Cols*perRow + i%q.Cols/q.Group
		w[i] = int4Group{scale: q.Scales[g], zero: q.Zeros[g]}.value(float32(c))
	}
	return w
}
