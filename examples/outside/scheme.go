package main

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// ternary is a quantisation scheme: -s, 0 or s in 2 bits, with s = mean|w| of a row in float32 (Ma et al., BitNet
// b1.58, 2024, for which one scale of the whole weight does).
var ternary = &scheme.Scheme{
	Name: "ternary", Doc: "-s, 0 or s with a float32 scale a row, 2 bits (BitNet b1.58)", Bits: 2,
	Fake: func(g *graph.Graph, w, _ *graph.Node, _ scheme.Settings) *graph.Node {
		return graph.StraightThrough(g, fakeTernary{}, w)
	},
	Form: &scheme.Form{Size: ternarySize, Pack: packTernary, Parse: parseTernary},
}

// ternaryScale is mean|w| of a row.
func ternaryScale(row []float32) float32 {
	var sum float64
	for _, w := range row {
		sum += math.Abs(float64(w))
	}
	return float32(sum / float64(len(row)))
}

// ternaryCode is -1, 0 or 1.
func ternaryCode(w, scale float32) int {
	switch half := scale / 2; {
	case w > half:
		return 1
	case w < -half:
		return -1
	}
	return 0
}

// fakeTernary is the simulation, a kernel whose gradient is the identity.
type fakeTernary struct{}

func (fakeTernary) String() string { return "fakequant(ternary)" }

func (fakeTernary) Plan(in []graph.Spec) (graph.Plan, error) { return graph.Plan{Out: in[0]}, nil }

func (fakeTernary) Forward(c *graph.Call) {
	cols := c.Out.Dim(-1)
	graph.Parallel(c.Out.Rows(), func(r int) {
		row := c.In[0].F[r*cols : (r+1)*cols]
		scale := ternaryScale(row)
		for i, w := range row {
			c.Out.F[r*cols+i] = float32(ternaryCode(w, scale)) * scale
		}
	})
}

// ternaryPacked is a packed weight: a float32 a row, then 2 bits a weight, all rows on end, the first of four in the
// lowest bits; code c stands for (c - 1) scale.
type ternaryPacked struct {
	scheme.Matrix
	scales, codes []byte
}

func ternarySize(m scheme.Matrix) int { return 4*m.Rows + (m.Size()+3)/4 }

func packTernary(dst []byte, w, _ []float32, m scheme.Matrix) error {
	for r := range m.Rows {
		row := w[r*m.Cols : (r+1)*m.Cols]
		scale := ternaryScale(row)
		binary.LittleEndian.PutUint32(dst[4*r:], math.Float32bits(scale))
		for i, v := range row {
			at := r*m.Cols + i
			dst[4*m.Rows+at/4] |= byte(ternaryCode(v, scale)+1) << (2 * (at % 4))
		}
	}
	return nil
}

func parseTernary(data []byte, m scheme.Matrix) (graph.Unpacker, error) {
	p := ternaryPacked{m, data[:4*m.Rows], data[4*m.Rows:]}
	for r := range m.Rows {
		if s := float64(p.scale(r)); !(s >= 0 && s <= math.MaxFloat32) {
			return nil, fmt.Errorf("scale %g of row %d: it must be at least 0 and finite", s, r)
		}
	}
	for i := range m.Size() {
		if p.code(i) == 3 {
			return nil, fmt.Errorf("code 3 at %d: a code is 0, 1 or 2", i)
		}
	}
	return p, nil
}

func (p ternaryPacked) scale(r int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(p.scales[4*r:]))
}

func (p ternaryPacked) code(i int) byte { return p.codes[i/4] >> (2 * (i % 4)) & 3 }

// Rows is graph.Unpacker's.
func (p ternaryPacked) Rows(dst []float32, from, to int) {
	for r := from; r < to; r++ {
		for i := range p.Cols {
			dst[(r-from)*p.Cols+i] = float32(int(p.code(r*p.Cols+i))-1) * p.scale(r)
		}
	}
}

// Panels is graph.Unpacker's: rows are unpacked and multiplied by BLAS.
func (p ternaryPacked) Panels() bool { return false }

// Panel is graph.Unpacker's.
func (p ternaryPacked) Panel(dst []float32, from int) {
	graph.PanelOfRows(p, p.Matrix.Rows, p.Cols, dst, from)
}
