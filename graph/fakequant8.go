package graph

import (
	"fmt"
	"slices"

	"github.com/x448/float16"
	"gorgonia.org/gorgonia"
)

// FakeQuantInt8 is symmetric 8-bit quantisation and back of each entry (row of the last dimension) of x [..., D], for
// the episodic memory (SPEC section 4): scale = max|x|/127, q = x/scale rounded half to even in -127 … 127, and the result is
// q times the scale as it is stored, rounded to IEEE half precision. Where that rounding is relative (scales from 2^-14 on)
// q comes of the scale before it, as in the reference, and the result is within 0.57 scales of x. Smaller scales, of entries
// below 0.008, are rounded first (HalfScale), and the result is within half a scale of x, which is at most 2^-24 more than
// max|x|/127. An entry whose scale is beyond half precision (|x| > 8.3e6) becomes infinite or NaN rather than wrong.
// Straight-through: ∂x = ∂y.
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
			scale, stored := int8Scale(x)
			for j, v := range x {
				c.Out.F[r*d+j] = int8Code(v, scale) * stored.Float32()
			}
		}
	})
}

func (fakeInt8) symGrad(_ gorgonia.Nodes, grad *Node) gorgonia.Nodes { return gorgonia.Nodes{grad} }

// int8Levels is the largest code; -128 is not used.
const int8Levels = 127

// int8Scale is the scale that makes an entry's codes, and the one that is stored with them.
func int8Scale(x []float32) (scale float32, stored float16.Float16) {
	largest := largestOf(x)
	stored = HalfScale(largest)
	if stored.Float32() < leastNormalHalf {
		return stored.Float32(), stored
	}
	return largest / int8Levels, stored
}

// int8Code is the code of x; 0 under the scale of an entry of zeros.
func int8Code(x, scale float32) float32 {
	if scale == 0 {
		return 0
	}
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
		scale, stored := int8Scale(row)
		if stored.IsInf(0) {
			return Int8{}, fmt.Errorf("graph: int8: row %d has values beyond %.4g, the largest whose scale half precision holds (65504)", len(q.Scales), int8Levels*maxHalf)
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
