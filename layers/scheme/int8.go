package scheme

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/x448/float16"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// Int8 is symmetric 8-bit quantisation of each row, also of the entries of the episodic memory (SPEC section 4):
// scale = max|x|/127, q = x/scale rounded half to even in -127 … 127, and the result is q times the scale as it is
// stored, rounded to IEEE half precision. Where that rounding is relative (scales from 2^-14 on) q comes of the scale
// before it, as in the reference, and the result is within 0.57 scales of x. Smaller scales, of rows below 0.008, are
// rounded first (HalfScale), and the result is within half a scale of x, which is at most 2^-24 more than max|x|/127.
// A row whose scale is beyond half precision (|x| > 8.3e6) becomes infinite or NaN rather than wrong.
// Straight-through: ∂x = ∂y.
//
// Packed scales are multiples of 2^-24: a weight all of whose values are below 127 · 2^-24 = 7.6e-6 would not keep 8
// bits and is refused, as is a row with a value above 8.3e6. A smaller row of a larger weight is within 2^-25, less
// than 8 bits for the whole weight would be.
var Int8 = &Scheme{
	Name: "int8", Doc: "255 values with an FP16 scale a row, 8 bits", Bits: 8,
	Fake: func(g *graph.Graph, w, _ *graph.Node, _ Settings) *graph.Node { return FakeInt8(g, w) },
	Form: &Form{Size: int8Size, Pack: packInt8, Parse: parseInt8},
}

// FakeInt8 is Int8.Fake for each row of the last dimension of x [..., D]: of a weight, or of memory entries.
func FakeInt8(g *graph.Graph, x *graph.Node) *graph.Node {
	return graph.StraightThrough(g, fakeInt8{}, x)
}

type fakeInt8 struct{}

func (fakeInt8) String() string { return "fakequant(int8)" }

func (fakeInt8) Plan(in []graph.Spec) (graph.Plan, error) {
	if in[0].Ints || len(in[0].Shape) == 0 {
		return graph.Plan{}, fmt.Errorf("got entries %v, want floating point [..., D]", in[0].Shape)
	}
	return graph.Plan{Out: in[0]}, nil
}

func (fakeInt8) Forward(c *graph.Call) {
	eachRow(c, func(y, x []float32) {
		scale, stored := int8Scale(x)
		for j, v := range x {
			y[j] = int8Code(v, scale) * stored.Float32()
		}
	})
}

// int8Levels is the largest code; -128 is not used.
const int8Levels = 127

// HalfScale is the half-precision scale of symmetric 8-bit codes for values up to largest: the nearest to
// largest/127, or the next above if the code of largest under that one would be beyond 127. It is 0 for 0 alone, and
// infinite for values that no scale can hold. Of a result below the normal numbers (6.1e-5) codes are to be made with
// it, not with largest/127, from which it may be far.
func HalfScale(largest float32) float16.Float16 {
	h := float16.Fromfloat32(largest / int8Levels)
	if h.IsFinite() && h.Float32()*(int8Levels+0.5) < largest {
		h++
	}
	return h
}

// int8Scale is the scale that makes a row's codes, and the one that is stored with them.
func int8Scale(x []float32) (scale float32, stored float16.Float16) {
	largest := largestOf(x)
	stored = HalfScale(largest)
	if stored.Float32() < leastNormalHalf {
		return stored.Float32(), stored
	}
	return largest / int8Levels, stored
}

// int8Code is the code of x; 0 under the scale of a row of zeros.
func int8Code(x, scale float32) float32 {
	if scale == 0 {
		return 0
	}
	return min(max(roundEven(x/scale), -int8Levels), int8Levels)
}

// Int8Codes is a matrix [rows, Cols] in 8-bit codes with a scale per row.
type Int8Codes struct {
	Cols   int
	Codes  []int8            // -127 … 127, [rows, Cols]
	Scales []float16.Float16 // [rows]
}

// QuantizeInt8 quantises x [rows, cols] as Int8 does. A row that is not finite, or too large for a scale in half
// precision, is an error.
func QuantizeInt8(x []float32, cols int) (Int8Codes, error) {
	if cols < 1 || len(x)%cols != 0 {
		return Int8Codes{}, fmt.Errorf("int8: got %d values in rows of %d, want whole rows", len(x), cols)
	}
	if vec.HasNonFinite(x) {
		return Int8Codes{}, fmt.Errorf("int8: the values contain some that are not finite")
	}
	q := Int8Codes{Cols: cols}
	for row := range slices.Chunk(x, cols) {
		scale, stored := int8Scale(row)
		if stored.IsInf(0) {
			return Int8Codes{}, fmt.Errorf("int8: row %d has values beyond %.4g, the largest whose scale half "+
				"precision holds (65504)",
				len(q.Scales), int8Levels*maxHalf)
		}
		q.Scales = append(q.Scales, stored)
		for _, v := range row {
			q.Codes = append(q.Codes, int8(int8Code(v, scale)))
		}
	}
	return q, nil
}

// int8Packed is a packed weight, cut into the parts that FORMAT.md describes.
type int8Packed struct {
	Matrix
	scales halves
	codes  []byte
}

func int8Size(m Matrix) int { return 2*m.Rows + m.Size() }

func cutInt8(data []byte, m Matrix) int8Packed {
	return int8Packed{m, data[:2*m.Rows], data[2*m.Rows:]}
}

func packInt8(dst []byte, w, _ []float32, m Matrix) error {
	if most := largestOf(w); most > 0 && most < int8Levels*leastHalf {
		return fmt.Errorf("the largest of its values is %g, and 8 bits with half-precision scales hold a weight from "+
			"%.2g on: use 4 bits, whose scales are float32, or leave it in floating point", most, int8Levels*leastHalf)
	}
	q, err := QuantizeInt8(w, m.Cols)
	if err != nil {
		return err
	}
	p := cutInt8(dst, m)
	for r, s := range q.Scales {
		p.scales.set(r, s)
	}
	for i, c := range q.Codes {
		p.codes[i] = byte(c)
	}
	return nil
}

func parseInt8(data []byte, m Matrix) (graph.Unpacker, error) {
	p := cutInt8(data, m)
	if err := p.scales.check(func(h float32) bool { return h >= 0 }); err != nil {
		return nil, err
	}
	if i := bytes.IndexByte(p.codes, 0x80); i >= 0 {
		return nil, fmt.Errorf("integer -128 at weight %d: want -127 to 127", i)
	}
	return p, nil
}

// Rows is graph.Unpacker's.
func (p int8Packed) Rows(dst []float32, from, to int) {
	for r := from; r < to; r++ {
		vec.Unpack8(dst[(r-from)*p.Cols:(r-from+1)*p.Cols], p.codes[r*p.Cols:(r+1)*p.Cols], 0, p.scales.at(r))
	}
}

// Panels is graph.Unpacker's.
func (p int8Packed) Panels() bool { return inWords(p.codes, p.Cols, 8) }

// Panel is graph.Unpacker's.
func (p int8Packed) Panel(dst []float32, from int) {
	panel(dst, p.codes, p.Matrix, 8, from, func(r, _ int) (zero, scale float32) { return 0, p.scales.at(r) })
}
