package scheme

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// Int4Float32 is asymmetric 4-bit quantisation with scales and zeros in float32, as the reference computes with (SPEC
// section 4): per group of Settings.Group weights along the last dimension scale = max((max-min)/15, 1e-6), zero =
// -min/scale (not rounded), q = clamp((w-min)/scale, 0, 15) rounded half to even, and the result is (q - zero) scale.
// A short last group is taken as if filled up with its last column, which changes neither its min nor its max.
// Salient columns (AWQ) count as 0 while the groups are formed and quantised, and the weights are added back to what
// 0 becomes. Straight-through: ∂w = ∂y.
//
// A packed file holds its weights as Int4.
var Int4Float32 = &Scheme{
	Name: "int4_float32", Bits: 4,
	Doc:   "int4 with scales and zeros in float32, as the reference computes with; packed as int4",
	Check: checkInt4,
	Fake: func(g *graph.Graph, w, _ *graph.Node, s Settings) *graph.Node {
		return graph.StraightThrough(g, fakeInt4Float32{s.clone()}, w)
	},
	Least: 7.5 * leastInt4Scale, LeastOf: "the reach of the least INT4 scale in float32",
	PackedAs: Int4,
}

type fakeInt4Float32 struct{ s Settings }

func (o fakeInt4Float32) String() string {
	if len(o.s.Salient) == 0 {
		return fmt.Sprintf("fakequant(int4 group=%d)", o.s.Group)
	}
	return fmt.Sprintf("fakequant(int4 group=%d salient=%v)", o.s.Group, o.s.Salient)
}

func (o fakeInt4Float32) Plan(in []graph.Spec) (graph.Plan, error) {
	w := in[0]
	if w.Ints || len(w.Shape) == 0 {
		return graph.Plan{}, fmt.Errorf("got weight %v, want floating point [..., columns]", w.Shape)
	}
	if o.s.Group < 1 {
		return graph.Plan{}, fmt.Errorf("got group size %d, want at least 1", o.s.Group)
	}
	cols := w.Shape[len(w.Shape)-1]
	for i, a := range o.s.Salient {
		if a < 0 || a >= cols || slices.Contains(o.s.Salient[:i], a) {
			return graph.Plan{}, fmt.Errorf("got salient columns %v, want distinct ones within 0 … %d", o.s.Salient, cols-1)
		}
	}
	return graph.Plan{Out: w}, nil
}

func (o fakeInt4Float32) Forward(c *graph.Call) {
	eachRow(c, func(y, w []float32) {
		o.s.withoutSalient(y, w)
		for g := range slices.Chunk(y, o.s.Group) {
			f := fitInt4(g)
			for j, x := range g {
				g[j] = f.value(f.code(x))
			}
		}
		for _, j := range o.s.Salient {
			y[j] += w[j]
		}
	})
}

// int4Levels is the largest 4-bit code.
const int4Levels = 15

// leastInt4Scale is the least scale (SPEC section 4); Int4 has none of this size. A group that is narrower becomes
// one value, within 1e-6 of each.
const leastInt4Scale = 1e-6

// int4Group is the range of one group.
type int4Group struct{ low, scale, zero float32 }

func fitInt4(w []float32) int4Group {
	low, high := w[0], w[0]
	for _, x := range w {
		low, high = min(low, x), max(high, x)
	}
	scale := max((high-low)/int4Levels, leastInt4Scale)
	return int4Group{low: low, scale: scale, zero: -low / scale}
}

func (g int4Group) code(w float32) float32 {
	return roundEven(min(max((w-g.low)/g.scale, 0), int4Levels))
}

func (g int4Group) value(code float32) float32 { return dequantized(code, g.zero, g.scale) }

// Int4Codes is a matrix [rows, Cols] in the codes of Int4Float32, with a scale and a zero per row and group of columns.
type Int4Codes struct {
	Cols, Group   int
	Codes         []int8    // 0 … 15, [rows, Cols]
	Scales, Zeros []float32 // [rows, groups of a row]
}

// QuantizeInt4 quantises w [rows, cols] as Int4Float32 does. A weight that is not finite is an error.
func QuantizeInt4(w []float32, cols, group int) (Int4Codes, error) {
	if cols < 1 || group < 1 || len(w)%cols != 0 {
		return Int4Codes{}, fmt.Errorf("int4: got %d weights in rows of %d and groups of %d, want whole rows and a group "+
			"size of at least 1", len(w), cols, group)
	}
	if vec.HasNonFinite(w) {
		return Int4Codes{}, fmt.Errorf("int4: the weights contain values that are not finite")
	}
	q := Int4Codes{Cols: cols, Group: group}
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

// Dequantize is the matrix that the codes stand for: bit for bit the result of Int4Float32.
func (q Int4Codes) Dequantize() []float32 {
	w := make([]float32, len(q.Codes))
	perRow := Settings{Group: q.Group}.groupsPerRow(q.Cols)
	for i, c := range q.Codes {
		g := i/q.Cols*perRow + i%q.Cols/q.Group
		w[i] = int4Group{scale: q.Scales[g], zero: q.Zeros[g]}.value(float32(c))
	}
	return w
}
