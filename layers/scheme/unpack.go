package scheme

import (
	"math"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// What the schemes of this package share: work on rows, and unpacking by the kernels of package vec.

// roundEven is the integer nearest to x, halves to even.
func roundEven(x float32) float32 { return float32(math.RoundToEven(float64(x))) }

// dequantized is the weight of integer q: the one formula of fake quantisation and of unpacking.
func dequantized(q, zero, scale float32) float32 { return (q - zero) * scale }

// largestOf is the greatest magnitude.
func largestOf(w []float32) float32 {
	var largest float32
	for _, v := range w {
		largest = max(largest, v, -v)
	}
	return largest
}

// rowTile is the number of rows that are quantised as one part of the work.
const rowTile = 128

// eachRow calls f for every row of x and of the result.
func eachRow(c *graph.Call, f func(y, x []float32)) {
	cols, rows := c.Out.Dim(-1), c.Out.Rows()
	graph.Parallel((rows+rowTile-1)/rowTile, func(i int) {
		for r := i * rowTile; r < min((i+1)*rowTile, rows); r++ {
			f(c.Out.F[r*cols:(r+1)*cols], c.In[0].F[r*cols:(r+1)*cols])
		}
	})
}

// inWords says whether the codes of every row fill whole words of 32 bits, which unpacking by panels needs, and are within
// the reach of its offsets.
func inWords(codes []byte, cols, bits int) bool {
	return cols*bits%32 == 0 && len(codes) <= math.MaxInt32
}

// panelOfRows is graph.Unpacker's Panel for codes of 2 or 8 bits with a zero and a scale a row.
func panelOfRows(dst []float32, codes []byte, m Matrix, bits, from int, of func(row int) (zero, scale float32)) {
	eachHalf(m, bits, from, func(h panelHalf) {
		var zeros, scales [vec.MaxPanelLanes]float32
		for i := range h.lanes {
			zeros[i], scales[i] = of(h.row(i))
		}
		h.unpack(dst, codes, 0, m.Cols, zeros[:], scales[:])
	})
}

// panelHalf is one half of a panel: as many rows as vec unpacks at a time.
type panelHalf struct {
	lanes, at int // the number of its rows, and their place in the panel
	bits      int
	from, end int // the first row; the number of rows of the weight
	offsets   [vec.MaxPanelLanes]int32
}

// eachHalf calls f for both halves of the panel of the rows from `from` on, whose codes take whole bytes a row.
func eachHalf(m Matrix, bits, from int, f func(h panelHalf)) {
	lanes := vec.PanelLanes()
	for half := range 2 {
		h := panelHalf{lanes: lanes, at: half * lanes, bits: bits, from: from, end: m.Rows}
		for i := range lanes {
			h.offsets[i] = int32(h.row(i) * (m.Cols * bits / 8))
		}
		f(h)
	}
}

// row is that of lane i; past the last row of the weight it is that one.
func (h *panelHalf) row(i int) int { return min(h.from+h.at+i, h.end-1) }

// unpack writes some columns.
func (h *panelHalf) unpack(dst []float32, codes []byte, column, columns int, zeros, scales []float32) {
	width := 2 * h.lanes
	vec.PanelUnpack(h.bits, dst[column*width+h.at:], codes[column*h.bits/8:], h.offsets[:h.lanes], zeros[:h.lanes], scales[:h.lanes],
		columns*h.bits/32, width)
}
