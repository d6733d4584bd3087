package graph

import (
	"fmt"
	"slices"

	"github.com/x448/float16"
	"gorgonia.org/gorgonia"
)

// FakeQuantInt8 is symmetric 8-bit quantisation and back of each entry (row of the last dimension) of x [..., D], for
// the episodic memory (SPEC section 4): scale = max|x|/127, q = x/scale rounded half to even in -127 … 127, and the result is
// q times the scale as it is stored, rounded to IEEE half precision. An entry whose scale is beyond half precision
// (|x| > 8.3e6) becomes infinite rather than wrong. Straight-through: ∂x = ∂y.
func FakeQuantInt8(g *Graph, x *Node) *Node { return Apply(g, fakeInt8{}, x) }

type fakeInt8 struct{}

func (fakeInt8) String() string { return "fakequant(int8)" }

func (fakeInt8) Plan(in []Spec) (Plan, error) { return Plan{Out: in[0]}, wantFloats(in[0]) }

func (fakeInt8) Forward(c *Call) {
	rows, d := c.In[0].Rows(), c.In[0].Dim(-1)
	Parallel(tiles(rows, rowTile), func(i int) {
		a, b := tile(i, rowTile, rows)
		for r := a; r < b; r++ {
			x := rowAt(c.In[0], r, d)
			scale := int8Scale(x)
			stored := float16.Fromfloat32(scale).Float32()
			for j, v := range x {
				c.Out.F[r*d+j] = int8Code(v, scale) * stored
			}
		}
	})
}

func (fakeInt8) symGrad(_ gorgonia.Nodes, grad *Node) gorgonia.Nodes { return gorgonia.Nodes{grad} }

// int8Levels is the largest code; -128 is not used.
const int8Levels = 127

func int8Scale(x []float32) float32 {
	var largest float32
	for _, v := range x {
		largest = max(largest, v, -v)
	}
	return max(largest/int8Levels, 1e-8)
}

func int8Code(x, scale float32) float32 {
	return min(max(roundEven(x/scale), -int8Levels), int8Levels)
}

// Int8 is a matrix [rows, Cols] in 8-bit codes with a scale per row.
type Int8 struct {
	Cols   int
	Codes  []int8            // -127 … 127, [rows, Cols]
	Scales []float16.Float16 // [rows]
}

// QuantizeInt8 quantises x [rows, cols] as FakeQuantInt8 does. An entry that is not finite, or too large for a scale
// in half precision, is an error.
func QuantizeInt8(x []float32, cols int) (Int8, error) {
	if cols < 1 || len(x)%cols != 0 {
		return Int8{}, fmt.Errorf("graph: int8: got %d values in rows of %d, want whole rows", len(x), cols)
	}
	if !finite(x) {
		return Int8{}, fmt.Errorf("graph: int8: the values contain some that are not finite")
	}
	q := Int8{Cols: cols}
	for row := range slices.Chunk(x, cols) {
		scale := int8Scale(row)
		stored := float16.Fromfloat32(scale)
		if stored.IsInf(0) {
			return Int8{}, fmt.Errorf("graph: int8: row %d needs the scale %v, want at most 65504, the largest number in half precision", len(q.Scales), scale)
		}
		q.Scales = append(q.Scales, stored)
		for _, v := range row {
			q.Codes = append(q.Codes, int8(int8Code(v, scale)))
		}
	}
	return q, nil
}

// Dequantize is the matrix that the codes stand for: bit for bit the result of FakeQuantInt8.
func (q Int8) Dequantize() []float32 {
	x := make([]float32, len(q.Codes))
	for i, c := range q.Codes {
		x[i] = float32(c) * q.Scales[i/q.Cols].Float32()
	}
	return x
}
