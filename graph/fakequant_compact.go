package graph

import (
	"fmt"
	"math"
	"slices"

	"github.com/x448/float16"
	"gorgonia.org/gorgonia"
)

// Int4Compact is group-wise asymmetric INT4 whose metadata takes two bytes a group instead of eight. A group of weights
// w with [lo, hi], extended to include 0, has
//
//	scale = smin (smax/smin)^(c/255)   c one byte, the code nearest to (hi-lo)/15; smin and smax are the tensor's
//	zero  = z/17                       z one byte, the code nearest to -lo/scale, so 0 ≤ zero ≤ 15
//	q     = clamp(round_half_even(w/scale + zero), 0, 15),   ŵ = (q - zero) scale
//
// where scale and zero are the rounded ones: the integers make up for part of the metadata's rounding. Columns of the
// salient set are taken as 0 while the groups are formed, and ŵ is the weight rounded to IEEE half there (AWQ, Lin et
// al. 2023; SPEC section 4, where scale and zero are float32). A last group shorter than the rest is its own group.
type Int4Compact struct {
	Group   int   // columns that share scale and zero, at least 2; may exceed the columns (one group a row)
	Salient []int // columns kept in half precision, ascending
}

// FakeQuantInt4Compact is the value ŵ that the packed form of w [..., columns] holds (see Int4Compact), bit for bit what
// Packed.Rows gives of PackInt4. The gradient is straight through: ∂w = ∂ŵ everywhere, since a group's own extremes
// span its range and nothing but rounding is clipped.
func FakeQuantInt4Compact(g *Graph, w *Node, q Int4Compact) *Node {
	return Apply(g, fakeInt4Compact{q.clone()}, w)
}

type fakeInt4Compact struct{ q Int4Compact }

func (k fakeInt4Compact) String() string {
	return fmt.Sprintf("fakeint4compact(group=%d salient=%v)", k.q.Group, k.q.Salient)
}

func (k fakeInt4Compact) Plan(in []Spec) (Plan, error) {
	if in[0].Ints || len(in[0].Shape) < 2 {
		return Plan{}, fmt.Errorf("got weight %v, want floating point [..., columns]", in[0].Shape)
	}
	if err := k.q.Check(lastDim(in[0])); err != nil {
		return Plan{}, err
	}
	return Plan{Out: in[0]}, nil
}

func (fakeInt4Compact) symGrad(_ gorgonia.Nodes, grad *Node) gorgonia.Nodes {
	return gorgonia.Nodes{grad}
}

func (k fakeInt4Compact) Forward(c *Call) {
	cols := c.Out.Dim(-1)
	w, rows := c.In[0].F, c.Out.Rows()
	scales := k.q.fit(w, cols)
	Parallel(tiles(rows, rowTile), func(i int) {
		a, b := tile(i, rowTile, rows)
		for r := a; r < b; r++ {
			k.fakeRow(c.Out.F[r*cols:(r+1)*cols], w[r*cols:(r+1)*cols], scales)
		}
	})
}

func (k fakeInt4Compact) fakeRow(dst, w []float32, scales *scaleTable) {
	k.q.start(dst, w)
	for _, group := range k.q.groups(dst) {
		s, z := scales.quantize(group)
		scale, zero := scales[s], zeroOf(z)
		for i, q := range group {
			group[i] = dequantized(q, zero, scale)
		}
	}
	for _, j := range k.q.Salient {
		dst[j] = float16.Fromfloat32(w[j]).Float32()
	}
}

// Check names what is wrong with the settings for rows of the given number of columns.
func (q Int4Compact) Check(cols int) error {
	if q.Group < 2 {
		return fmt.Errorf("group size %d: it must be at least 2", q.Group)
	}
	for i, j := range q.Salient {
		if j < 0 || j >= cols || i > 0 && j <= q.Salient[i-1] {
			return fmt.Errorf("salient columns %v: they must ascend and lie in 0..%d", q.Salient, cols-1)
		}
	}
	return nil
}

// start copies a row for quantisation, the salient columns as 0.
func (q Int4Compact) start(dst, w []float32) {
	copy(dst, w)
	for _, j := range q.Salient {
		dst[j] = 0
	}
}

// groups cuts a row.
func (q Int4Compact) groups(row []float32) func(yield func(int, []float32) bool) {
	return func(yield func(int, []float32) bool) {
		for i := 0; i*q.Group < len(row); i++ {
			a, b := tile(i, q.Group, len(row))
			if !yield(i, row[a:b]) {
				return
			}
		}
	}
}

// groupsPerRow is the number of groups of a row.
func (q Int4Compact) groupsPerRow(cols int) int { return tiles(cols, q.Group) }

// fit finds smin and smax over all groups of w and tabulates the scales between them.
func (q Int4Compact) fit(w []float32, cols int) *scaleTable {
	smin, smax := q.scaleRange(w, cols)
	return newScaleTable(smin, smax)
}

// scaleOctaves limits how far below the largest scale of a tensor the smallest lies: 2^-16 leaves 4.4 % between codes.
const scaleOctaves = 16

// scaleRange gives the least and the greatest scale that a group of w needs; groups of zeros need none.
func (q Int4Compact) scaleRange(w []float32, cols int) (smin, smax float32) {
	rows := len(w) / cols
	parts := make([][2]float32, tiles(rows, rowTile))
	ParallelScratch(len(parts), cols, func(i int, row []float32) {
		least, most := float32(math.Inf(1)), float32(0)
		a, b := tile(i, rowTile, rows)
		for r := a; r < b; r++ {
			q.start(row, w[r*cols:(r+1)*cols])
			for _, group := range q.groups(row) {
				lo, hi := extremes(group)
				if s := rawScale(lo, hi); s > 0 {
					least, most = min(least, s), max(most, s)
				}
			}
		}
		parts[i] = [2]float32{least, most}
	})
	smin = float32(math.Inf(1))
	for _, p := range parts {
		smin, smax = min(smin, p[0]), max(smax, p[1])
	}
	if smax < tinyScale { // all zeros, or next to it
		return 1, 1
	}
	return max(smin, smax*(1.0/(1<<scaleOctaves)), tinyScale), smax
}

// tinyScale keeps 1/scale finite.
const tinyScale = 1e-30

// extremes gives the range of a group, extended to include 0.
func extremes(x []float32) (lo, hi float32) {
	for _, v := range x {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	return lo, hi
}

func rawScale(lo, hi float32) float32 { return hi/15 - lo/15 }

// scaleTable is a tensor's 256 scales, by code.
type scaleTable [256]float32

func newScaleTable(smin, smax float32) *scaleTable {
	t := &scaleTable{}
	span := math.Log(float64(smax) / float64(smin))
	for c := range t {
		t[c] = float32(float64(smin) * math.Exp(float64(c)/255*span))
	}
	return t
}

// code is that of the scale nearest to s, on the logarithmic scale of the codes.
func (t *scaleTable) code(s float32) byte {
	smin, smax := float64(t[0]), float64(t[255])
	if !(float64(s) > smin) || smin == smax {
		return 0
	}
	return byte(min(255, math.RoundToEven(255*math.Log(float64(s)/smin)/math.Log(smax/smin))))
}

// quantize replaces the weights of a group by their integers 0 … 15 and returns the codes of its scale and zero. It is
// the one place where weights become integers, for fake quantisation and for packing.
func (t *scaleTable) quantize(group []float32) (scale, zero byte) {
	lo, hi := extremes(group)
	scale = t.code(rawScale(lo, hi))
	s := t[scale]
	zero = byte(max(0, min(255, roundEven(-lo/s*17))))
	z := zeroOf(zero)
	for i, v := range group {
		q := roundEven(float32(v/s) + z) // converted so that no platform fuses the two operations
		if q < 0 {
			q = 0
		}
		if q > 15 {
			q = 15
		}
		group[i] = q
	}
	return scale, zero
}

// zeroOf is the zero of a code.
func zeroOf(code byte) float32 { return float32(code) / 17 }

// dequantized is the weight of integer q: the one formula of fake quantisation and of unpacking.
func dequantized(q, zero, scale float32) float32 { return (q - zero) * scale }

// clone is a copy that later changes by the caller do not reach.
func (q Int4Compact) clone() Int4Compact { return Int4Compact{q.Group, slices.Clone(q.Salient)} }
