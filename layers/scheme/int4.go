package scheme

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/x448/float16"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// Int4 is group-wise asymmetric INT4 whose metadata takes two bytes a group instead of eight. A group of weights
// w with [lo, hi], extended to include 0, has
//
//	scale = smin (smax/smin)^(c/255)   c one byte, the code nearest to (hi-lo)/15; smin and smax are the tensor's
//	zero  = z/17                       z one byte, the code nearest to -lo/scale, so 0 ≤ zero ≤ 15
//	q     = clamp(round_half_even(w/scale + zero), 0, 15),   ŵ = (q - zero) scale
//
// where scale and zero are the rounded ones: the integers make up for part of the metadata's rounding. Columns of the
// salient set are taken as 0 while the groups are formed, and ŵ is the weight rounded to IEEE half there (AWQ, Lin et
// al. 2023; SPEC section 4, where scale and zero are float32). A last group shorter than the rest is its own group.
// Settings.Group is at least 2 and may exceed the columns: one group a row.
//
// The gradient is straight through, ∂w = ∂ŵ everywhere, since a group's own extremes span its range and nothing but
// rounding is clipped.
var Int4 = &Scheme{
	Name: "int4", Bits: 4,
	Doc:   "16 values in groups along the inputs, a scale and a zero of a byte each; salient columns in FP16 (AWQ)",
	Check: checkInt4,
	Fake: func(g *graph.Graph, w, _ *graph.Node, s Settings) *graph.Node {
		return graph.StraightThrough(g, fakeInt4{s.clone()}, w)
	},
	Columns: func(g *graph.Graph, columns *graph.Node, s Settings) *graph.Node {
		all := make([]int, len(s.Salient))
		for i := range all {
			all[i] = i
		}
		return graph.StraightThrough(g, fakeInt4{Settings{s.Group, all}}, columns)
	},
	Form: &Form{Size: int4Size, Pack: packInt4, Parse: parseInt4},
}

func checkInt4(cols int, s Settings) error {
	if s.Group < 2 {
		return fmt.Errorf("group size %d: it must be at least 2", s.Group)
	}
	for i, j := range s.Salient {
		if j < 0 || j >= cols || i > 0 && j <= s.Salient[i-1] {
			return fmt.Errorf("salient columns %v: they must ascend and lie in 0..%d", s.Salient, cols-1)
		}
	}
	return nil
}

type fakeInt4 struct{ s Settings }

func (k fakeInt4) String() string {
	return fmt.Sprintf("fakeint4compact(group=%d salient=%v)", k.s.Group, k.s.Salient)
}

func (k fakeInt4) Plan(in []graph.Spec) (graph.Plan, error) {
	w := in[0]
	if w.Ints || len(w.Shape) < 2 {
		return graph.Plan{}, fmt.Errorf("got weight %v, want floating point [..., columns]", w.Shape)
	}
	return graph.Plan{Out: w}, checkInt4(w.Shape[len(w.Shape)-1], k.s)
}

func (k fakeInt4) Forward(c *graph.Call) {
	scales := newScaleTable(scaleRange(c.In[0].F, Matrix{Rows: c.Out.Rows(), Cols: c.Out.Dim(-1), Settings: k.s}))
	eachRow(c, func(y, w []float32) {
		k.s.withoutSalient(y, w)
		for _, group := range k.s.groups(y) {
			s, z := scales.quantize(group)
			scale, zero := scales[s], zeroOf(z)
			for i, q := range group {
				group[i] = dequantized(q, zero, scale)
			}
		}
		for _, j := range k.s.Salient {
			y[j] = float16.Fromfloat32(w[j]).Float32()
		}
	})
}

// scaleOctaves limits how far below the largest scale of a tensor the smallest lies: 2^-16 leaves 4.4 % between codes.
const scaleOctaves = 16

// tinyScale keeps 1/scale finite.
const tinyScale = 1e-30

// scaleRange gives the least and the greatest scale that a group of w needs; groups of zeros need none.
func scaleRange(w []float32, m Matrix) (smin, smax float32) {
	parts := make([][2]float32, (m.Rows+rowTile-1)/rowTile)
	graph.ParallelScratch(len(parts), m.Cols, func(i int, row []float32) {
		least, most := float32(math.Inf(1)), float32(0)
		for r := i * rowTile; r < min((i+1)*rowTile, m.Rows); r++ {
			m.withoutSalient(row, w[r*m.Cols:(r+1)*m.Cols])
			for _, group := range m.groups(row) {
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

// int4 is a packed weight, cut into the parts that FORMAT.md describes.
type int4 struct {
	Matrix
	scales                *scaleTable
	scaleCodes, zeroCodes []byte
	salient               halves
	codes                 []byte
}

func int4Size(m Matrix) int {
	return 8 + 2*m.Rows*m.groupsPerRow(m.Cols) + 2*m.Rows*len(m.Salient) + m.Rows*((m.Cols+1)/2)
}

func cutInt4(data []byte, m Matrix) int4 {
	p := int4{Matrix: m}
	rest := data[8:]
	groups := m.Rows * m.groupsPerRow(m.Cols)
	p.scaleCodes, rest = rest[:groups], rest[groups:]
	p.zeroCodes, rest = rest[:groups], rest[groups:]
	n := 2 * m.Rows * len(m.Salient)
	p.salient, p.codes = rest[:n], rest[n:]
	return p
}

func packInt4(dst []byte, w, _ []float32, m Matrix) error {
	p := cutInt4(dst, m)
	smin, smax := scaleRange(w, m)
	binary.LittleEndian.PutUint32(dst, math.Float32bits(smin))
	binary.LittleEndian.PutUint32(dst[4:], math.Float32bits(smax))
	scales := newScaleTable(smin, smax)
	if most := largestOf(w); len(m.Salient) > 0 && most > 0 && most < leastHeldHalf {
		return fmt.Errorf("the largest of its values is %g: salient columns are in half precision, which holds a weight "+
			"from %.2g on; quantise it without salient columns", most, leastHeldHalf)
	}
	perRow, stride := m.groupsPerRow(m.Cols), (m.Cols+1)/2
	row := make([]float32, m.Cols)
	for r := range m.Rows {
		m.withoutSalient(row, w[r*m.Cols:(r+1)*m.Cols])
		for i, group := range m.groups(row) {
			at := r*perRow + i
			p.scaleCodes[at], p.zeroCodes[at] = scales.quantize(group)
		}
		for j, v := range row {
			p.codes[r*stride+j/2] |= byte(v) << (4 * (j % 2))
		}
		for i, j := range m.Salient {
			if err := p.salient.put(i*m.Rows+r, w[r*m.Cols+j]); err != nil {
				return fmt.Errorf("salient column %d, row %d: %w", j, r, err)
			}
		}
	}
	return nil
}

func parseInt4(data []byte, m Matrix) (graph.Unpacker, error) {
	p := cutInt4(data, m)
	if err := p.salient.check(func(float32) bool { return true }); err != nil {
		return nil, err
	}
	smin := math.Float32frombits(binary.LittleEndian.Uint32(data))
	smax := math.Float32frombits(binary.LittleEndian.Uint32(data[4:]))
	if !(smin >= tinyScale && smin <= smax && smax <= math.MaxFloat32/16) {
		return nil, fmt.Errorf("scales from %g to %g: want %g ≤ smin ≤ smax ≤ %g",
			smin, smax, float32(tinyScale), math.MaxFloat32/16)
	}
	p.scales = newScaleTable(smin, smax)
	if m.Cols%2 == 1 {
		for r := range m.Rows {
			if p.codes[(r+1)*((m.Cols+1)/2)-1]>>4 != 0 {
				return nil, fmt.Errorf("the bits after the last column of row %d are not 0", r)
			}
		}
	}
	return p, nil
}

// Rows is graph.Unpacker's.
func (p int4) Rows(dst []float32, from, to int) {
	for r := from; r < to; r++ {
		row := dst[(r-from)*p.Cols : (r-from+1)*p.Cols]
		p.row(row, r)
		for i, j := range p.Salient {
			row[j] = p.salient.at(i*p.Matrix.Rows + r)
		}
	}
}

// row unpacks one row, group by group.
func (p int4) row(dst []float32, r int) {
	stride := (p.Cols + 1) / 2
	codes := p.codes[r*stride : (r+1)*stride]
	at := r * p.groupsPerRow(p.Cols)
	for j := 0; j < p.Cols; at++ {
		scale, zero := p.scales[p.scaleCodes[at]], zeroOf(p.zeroCodes[at])
		end := min(j+p.Group, p.Cols)
		if j%2 == 1 { // a group of odd size ended in the middle of a byte
			dst[j] = dequantized(float32(codes[j/2]>>4), zero, scale)
			j++
		}
		if j < end {
			vec.Unpack4(dst[j:end], codes[j/2:(end+1)/2], zero, scale)
		}
		j = end
	}
}

// Panels is graph.Unpacker's: the codes of every group have to fill whole words too.
func (p int4) Panels() bool { return inWords(p.codes, p.Cols, 4) && p.Group%8 == 0 }

// Panel is graph.Unpacker's.
func (p int4) Panel(dst []float32, from int) {
	perRow, width := p.groupsPerRow(p.Cols), 2*vec.PanelLanes()
	panel(dst, p.codes, p.Matrix, 4, from, func(r, group int) (zero, scale float32) {
		at := r*perRow + group
		return zeroOf(p.zeroCodes[at]), p.scales[p.scaleCodes[at]]
	})
	for s, column := range p.Salient {
		for i := range width {
			dst[column*width+i] = p.salient.at(s*p.Matrix.Rows + min(from+i, p.Matrix.Rows-1))
		}
	}
}
