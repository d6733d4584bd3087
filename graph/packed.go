package graph

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/x448/float16"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// The kinds of packed weights. A kind is also the suffix of the tensor's name in a file.
const (
	PackedInt4 = "int4" // Int4Compact: 4 bits a weight, 2 bytes a group, half-precision salient columns
	PackedSEQ2 = "seq2" // 2-bit stretched-elastic: 2 bits a weight, one half-precision step a row
	PackedInt8 = "int8" // 8 bits a weight, symmetric, one half-precision scale a row
)

// PackedSpec is what has to be known of a packed weight besides its bytes; a file keeps it as JSON.
type PackedSpec struct {
	Kind    string `json:"kind"`              // PackedInt4, PackedSEQ2 or PackedInt8
	Shape   []int  `json:"shape"`             // of the weight; columns are the last dimension (the last two of [D, 1, K])
	Group   int    `json:"group,omitempty"`   // Int4: Int4Compact.Group
	Salient []int  `json:"salient,omitempty"` // Int4: Int4Compact.Salient
}

// Packed is a quantised weight as the bytes it is stored in. Kernels compute from them; the only floats it keeps are the
// 256 scales of an INT4 tensor (1 KiB). All numbers are little-endian, rows and columns those of PackedSpec.Shape.
//
//	int4   smin, smax                 float32 each
//	       scale codes                1 byte a group, row by row, the groups of a row from left to right
//	       zero codes                 the same
//	       salient columns            half precision, one column after the other, its rows from top to bottom
//	       integers                   4 bits a weight, row by row; a row begins at a byte; the first of two columns in the low
//	                                  half; the half that an odd number of columns leaves over is 0
//	seq2   steps                      half precision, one a row
//	       level codes                2 bits a weight, all rows on end, the first of four weights in the lowest bits; what is
//	                                  left of the last byte is 0. Code c stands for (c - 1.5) step.
//	int8   scales                     half precision, one a row
//	       integers                   1 byte a weight, two's complement, -127 … 127; q stands for q scale
//
// The sizes are thus 8 + 2 groups + 2 rows·salient + rows·ceil(columns/2), 2 rows + ceil(rows·columns/4) and
// 2 rows + rows·columns bytes.
type Packed struct {
	spec       PackedSpec
	rows, cols int
	data       []byte
	id         uint64 // tells kernels of different weights apart
	scales     *scaleTable
	// Parts of data.
	scaleCodes, zeroCodes, halves, codes []byte
}

var packedCount atomic.Uint64

// String names the weight among those of a process.
func (p *Packed) String() string {
	return fmt.Sprintf("packed %s %v #%d", p.spec.Kind, p.spec.Shape, p.id)
}

// Spec describes the weight.
func (p *Packed) Spec() PackedSpec { return p.spec }

// Bytes are what a file stores; they are not to be changed.
func (p *Packed) Bytes() []byte { return p.data }

// Size is the number of weights.
func (p *Packed) Size() int { return p.rows * p.cols }

// Matrix gives the rows (output channels) and columns of the weight seen as a matrix.
func (p *Packed) Matrix() (rows, cols int) { return p.rows, p.cols }

// maxPackedDim bounds rows and columns, so that sizes cannot overflow.
const maxPackedDim = 1 << 24

// matrix checks the shape and sees it as rows × columns.
func (s PackedSpec) matrix() (rows, cols int, err error) {
	if len(s.Shape) < 2 || len(s.Shape) > 3 {
		return 0, 0, fmt.Errorf("shape %v: want two or three dimensions", s.Shape)
	}
	for _, d := range s.Shape {
		if d < 1 || d > maxPackedDim {
			return 0, 0, fmt.Errorf("shape %v: dimensions must be from 1 to %d", s.Shape, maxPackedDim)
		}
	}
	rows, cols = s.Shape[0], s.Shape[len(s.Shape)-1]
	switch {
	case len(s.Shape) == 2:
	case s.Shape[1] == 1: // [D, 1, K], a depthwise convolution
	case s.Shape[0] == 1: // [1, M, D], position embeddings
		rows = s.Shape[1]
	default:
		return 0, 0, fmt.Errorf("shape %v: of three dimensions the first or the second must be 1", s.Shape)
	}
	return rows, cols, nil
}

func (s PackedSpec) compact() Int4Compact { return Int4Compact{s.Group, s.Salient} }

// layout checks the spec and cuts data, or fresh memory if it is nil, into its parts.
func layout(s PackedSpec, data []byte) (*Packed, error) {
	rows, cols, err := s.matrix()
	if err != nil {
		return nil, err
	}
	p := &Packed{rows: rows, cols: cols, id: packedCount.Add(1)}
	p.spec = PackedSpec{s.Kind, slices.Clone(s.Shape), s.Group, slices.Clone(s.Salient)}
	var sizes []int
	switch s.Kind {
	case PackedInt4:
		if err := s.compact().Check(cols); err != nil {
			return nil, err
		}
		groups := rows * s.compact().groupsPerRow(cols)
		sizes = []int{8, groups, groups, 2 * rows * len(s.Salient), rows * ((cols + 1) / 2)}
	case PackedSEQ2, PackedInt8:
		if s.Group != 0 || len(s.Salient) != 0 {
			return nil, fmt.Errorf("kind %s has neither groups (%d) nor salient columns (%v)", s.Kind, s.Group, s.Salient)
		}
		bits := 8
		if s.Kind == PackedSEQ2 {
			bits = 2
		}
		sizes = []int{0, 0, 0, 2 * rows, (rows*cols*bits + 7) / 8}
	default:
		return nil, fmt.Errorf("kind %q: want %s, %s or %s", s.Kind, PackedInt4, PackedSEQ2, PackedInt8)
	}
	total := 0
	for _, n := range sizes {
		total += n
	}
	if data == nil {
		data = make([]byte, total)
	}
	if len(data) != total {
		return nil, fmt.Errorf("%d bytes, want %d for %s of shape %v", len(data), total, s.Kind, s.Shape)
	}
	p.data = data
	rest := data[sizes[0]:]
	for i, part := range []*[]byte{&p.scaleCodes, &p.zeroCodes, &p.halves, &p.codes} {
		n := sizes[i+1]
		*part, rest = rest[:n:n], rest[n:]
	}
	return p, nil
}

// PackInt4 packs w, of the given shape, as FakeQuantInt4Compact sees it. Weights that are not finite are an error.
func PackInt4(w []float32, shape []int, q Int4Compact) (*Packed, error) {
	p, err := layout(PackedSpec{Kind: PackedInt4, Shape: shape, Group: q.Group, Salient: q.Salient}, nil)
	if err != nil {
		return nil, err
	}
	if err := p.checkWeights(w); err != nil {
		return nil, err
	}
	smin, smax := q.scaleRange(w, p.cols)
	binary.LittleEndian.PutUint32(p.data, math.Float32bits(smin))
	binary.LittleEndian.PutUint32(p.data[4:], math.Float32bits(smax))
	p.scales = newScaleTable(smin, smax)
	perRow, stride := q.groupsPerRow(p.cols), (p.cols+1)/2
	if most := largestOf(w); len(q.Salient) > 0 && most > 0 && most < leastHeldHalf {
		return nil, fmt.Errorf("the largest of its values is %g: salient columns are in half precision, which holds a weight from %.2g on; quantise it without salient columns", most, leastHeldHalf)
	}
	row := make([]float32, p.cols)
	for r := range p.rows {
		q.start(row, w[r*p.cols:(r+1)*p.cols])
		for i, group := range q.groups(row) {
			at := r*perRow + i
			p.scaleCodes[at], p.zeroCodes[at] = p.scales.quantize(group)
		}
		for j, v := range row {
			p.codes[r*stride+j/2] |= byte(v) << (4 * (j % 2))
		}
		for i, j := range q.Salient {
			if err := p.putHalf(i*p.rows+r, w[r*p.cols+j]); err != nil {
				return nil, fmt.Errorf("salient column %d, row %d: %w", j, r, err)
			}
		}
	}
	return p, nil
}

// PackSEQ2 packs w, of the given shape, with one step exp(logStep) a row, as FakeQuant2Bit sees it. The steps are stored
// in half precision: unless they were rounded to it beforehand (HalfLogStep), what is stored differs from what was
// simulated by up to 2^-11 of itself.
func PackSEQ2(w []float32, shape []int, logStep []float32) (*Packed, error) {
	p, err := layout(PackedSpec{Kind: PackedSEQ2, Shape: shape}, nil)
	if err != nil {
		return nil, err
	}
	if err := p.checkWeights(w); err != nil {
		return nil, err
	}
	if len(logStep) != p.rows {
		return nil, fmt.Errorf("%d steps, want one for each of the %d rows", len(logStep), p.rows)
	}
	for r, l := range logStep {
		s := stepOf(l)
		if !(s > 0) {
			return nil, fmt.Errorf("step %g of row %d: it must be above 0", s, r)
		}
		if err := p.putHalf(r, s); err != nil {
			return nil, fmt.Errorf("step of row %d: %w", r, err)
		}
		if p.half(r) == 0 {
			return nil, fmt.Errorf("step %g of row %d is 0 in half precision", s, r)
		}
	}
	if most := slices.Max(logStep); stepOf(most) < LeastHalfStep {
		return nil, fmt.Errorf("the largest of its steps is %g: 2-bit steps in half precision must reach %.2g", stepOf(most), LeastHalfStep)
	}
	for i, code := range Quantize2Bit(w, logStep) {
		p.codes[i/4] |= code << (2 * (i % 4))
	}
	return p, nil
}

// PackInt8 packs w, of the given shape, as FakeQuantInt8 sees it. Scales are half-precision numbers, multiples of 2^-24: a
// weight all of whose values are below 127 · 2^-24 = 7.6e-6 would not keep 8 bits and is an error, as is a row with a
// value above 8.3e6. A smaller row of a larger weight is within 2^-25, less than 8 bits for the whole weight would be.
func PackInt8(w []float32, shape []int) (*Packed, error) {
	p, err := layout(PackedSpec{Kind: PackedInt8, Shape: shape}, nil)
	if err != nil {
		return nil, err
	}
	if err := p.checkWeights(w); err != nil {
		return nil, err
	}
	if most := largestOf(w); most > 0 && most < int8Levels*leastHalf {
		return nil, fmt.Errorf("the largest of its values is %g, and 8 bits with half-precision scales hold a weight from %.2g on: use 4 bits, whose scales are float32, or leave it in floating point",
			most, int8Levels*leastHalf)
	}
	q, err := QuantizeInt8(w, p.cols)
	if err != nil {
		return nil, err
	}
	for r, s := range q.Scales {
		binary.LittleEndian.PutUint16(p.halves[2*r:], s.Bits())
	}
	for i, c := range q.Codes {
		p.codes[i] = byte(c)
	}
	return p, nil
}

func (p *Packed) checkWeights(w []float32) error {
	if len(w) != p.Size() {
		return fmt.Errorf("%d weights, want %d for shape %v", len(w), p.Size(), p.spec.Shape)
	}
	for i, v := range w {
		if v-v != 0 { // NaN or infinite
			return fmt.Errorf("weight %d (row %d, column %d) is %g: only finite weights can be packed", i, i/p.cols, i%p.cols, v)
		}
	}
	return nil
}

func (p *Packed) putHalf(i int, v float32) error {
	h := float16.Fromfloat32(v)
	if h.IsInf(0) {
		return fmt.Errorf("%g is beyond half precision (65504)", v)
	}
	binary.LittleEndian.PutUint16(p.halves[2*i:], h.Bits())
	return nil
}

func (p *Packed) half(i int) float32 {
	return float16.Frombits(binary.LittleEndian.Uint16(p.halves[2*i:])).Float32()
}

// ParsePacked reads a packed weight. data is not copied; it must not change. Whatever data and spec are, the result is a
// weight of finite numbers that can be computed with, or an error.
func ParsePacked(spec PackedSpec, data []byte) (*Packed, error) {
	if data == nil {
		data = []byte{}
	}
	p, err := layout(spec, data)
	if err != nil {
		return nil, err
	}
	for i := range len(p.halves) / 2 {
		h := p.half(i)
		if h-h != 0 {
			return nil, fmt.Errorf("half-precision number %d is %g, want a finite one", i, h)
		}
		if spec.Kind == PackedSEQ2 && h <= 0 || spec.Kind == PackedInt8 && h < 0 {
			return nil, fmt.Errorf("step or scale %g of row %d: it must not be negative, a step not 0", h, i)
		}
	}
	switch spec.Kind {
	case PackedSEQ2:
		if n := p.Size() % 4; n != 0 && p.codes[len(p.codes)-1]>>(2*n) != 0 {
			return nil, fmt.Errorf("the bits after the last weight are not 0")
		}
		return p, nil
	case PackedInt8:
		if i := bytes.IndexByte(p.codes, 0x80); i >= 0 {
			return nil, fmt.Errorf("integer -128 at weight %d: want -127 to 127", i)
		}
		return p, nil
	}
	smin := math.Float32frombits(binary.LittleEndian.Uint32(data))
	smax := math.Float32frombits(binary.LittleEndian.Uint32(data[4:]))
	if !(smin >= tinyScale && smin <= smax && smax <= math.MaxFloat32/16) {
		return nil, fmt.Errorf("scales from %g to %g: want %g ≤ smin ≤ smax ≤ %g", smin, smax, float32(tinyScale), math.MaxFloat32/16)
	}
	p.scales = newScaleTable(smin, smax)
	if p.cols%2 == 1 {
		for r := range p.rows {
			if p.codes[(r+1)*((p.cols+1)/2)-1]>>4 != 0 {
				return nil, fmt.Errorf("the bits after the last column of row %d are not 0", r)
			}
		}
	}
	return p, nil
}

// Rows dequantises rows from … to-1 into dst [to-from, columns].
func (p *Packed) Rows(dst []float32, from, to int) {
	dst = dst[:(to-from)*p.cols]
	switch p.spec.Kind {
	case PackedSEQ2:
		p.rowsSEQ2(dst, from)
		return
	case PackedInt8:
		for r := from; r < to; r++ {
			vec.Unpack8(dst[(r-from)*p.cols:(r-from+1)*p.cols], p.codes[r*p.cols:(r+1)*p.cols], 0, p.half(r))
		}
		return
	}
	for r := from; r < to; r++ {
		p.rowInt4(dst[(r-from)*p.cols:(r-from+1)*p.cols], r)
	}
	for i, j := range p.spec.Salient {
		for r := from; r < to; r++ {
			dst[(r-from)*p.cols+j] = p.half(i*p.rows + r)
		}
	}
}

// rowInt4 unpacks one row, group by group.
func (p *Packed) rowInt4(dst []float32, r int) {
	stride := (p.cols + 1) / 2
	codes := p.codes[r*stride : (r+1)*stride]
	at := r * p.spec.compact().groupsPerRow(p.cols)
	for j := 0; j < p.cols; at++ {
		scale, zero := p.scales[p.scaleCodes[at]], zeroOf(p.zeroCodes[at])
		end := min(j+p.spec.Group, p.cols)
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

// rowsSEQ2 unpacks rows from `from` on until dst is full.
func (p *Packed) rowsSEQ2(dst []float32, from int) {
	for r := from; len(dst) > 0; r++ {
		s := p.half(r)
		row, i := dst[:p.cols], r*p.cols
		for ; i%4 != 0 && len(row) > 0; i++ { // the row begins in the middle of a byte
			row[0] = dequantized(float32(p.codes[i/4]>>(2*(i%4))&3), largestLevel, s)
			row = row[1:]
		}
		if n := len(row); n > 0 {
			vec.Unpack2(row, p.codes[i/4:(i+n+3)/4], largestLevel, s)
		}
		dst = dst[p.cols:]
	}
}

// panels says whether the codes of every row and group begin at a byte and fill whole words, which unpacking by panels
// needs, and are within the reach of its offsets.
func (p *Packed) panels() bool {
	perWord := 4 // columns
	switch p.spec.Kind {
	case PackedInt4:
		perWord = 8
	case PackedSEQ2:
		perWord = 16
	}
	return p.cols%perWord == 0 && len(p.codes) <= math.MaxInt32 && (p.spec.Kind != PackedInt4 || p.spec.Group%perWord == 0)
}

// panel dequantises the rows from `from` on, as many as a panel of package vec is wide, into dst [columns, width]. Past
// the last row of the weight it repeats that one. The weights have the bits that Rows gives.
func (p *Packed) panel(dst []float32, from int) {
	var offsets [maxLanes]int32
	var zeros, scales [maxLanes]float32
	lanes := vec.PanelLanes()
	width := 2 * lanes
	for half := range 2 {
		row := func(i int) int { return min(from+half*lanes+i, p.rows-1) }
		unpack := func(bits, column, columns int) {
			vec.PanelUnpack(bits, dst[column*width+half*lanes:], p.codes[column*bits/8:], offsets[:lanes], zeros[:lanes], scales[:lanes], columns*bits/32, width)
		}
		for i := range lanes {
			offsets[i] = int32(row(i) * (len(p.codes) / p.rows))
		}
		if p.spec.Kind != PackedInt4 {
			bits, zero := 8, float32(0)
			if p.spec.Kind == PackedSEQ2 {
				bits, zero = 2, largestLevel
			}
			for i := range lanes {
				zeros[i], scales[i] = zero, p.half(row(i))
			}
			unpack(bits, 0, p.cols)
			continue
		}
		perRow := p.spec.compact().groupsPerRow(p.cols)
		for group := range perRow {
			for i := range lanes {
				at := row(i)*perRow + group
				zeros[i], scales[i] = zeroOf(p.zeroCodes[at]), p.scales[p.scaleCodes[at]]
			}
			column := group * p.spec.Group
			unpack(4, column, min(p.spec.Group, p.cols-column))
		}
		for s, column := range p.spec.Salient {
			for i := range lanes {
				dst[column*width+half*lanes+i] = p.half(s*p.rows + row(i))
			}
		}
	}
}

// maxLanes is the most that vec.PanelLanes gives.
const maxLanes = 16
