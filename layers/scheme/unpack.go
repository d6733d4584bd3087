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

// inWords says whether the codes of every row fill whole words of 32 bits, which unpacking by panels needs, and are
// within the reach of its offsets.
func inWords(codes []byte, cols, bits int) bool {
	return cols*bits%32 == 0 && len(codes) <= math.MaxInt32
}

// panel is graph.Unpacker's Panel for codes of 2, 4 or 8 bits whose zero and scale belong to a row and, if m has
// groups, a group of its columns.
func panel(dst []float32, codes []byte, m Matrix, bits, from int, of func(row, group int) (zero, scale float32)) {
	var offsets [vec.MaxPanelLanes]int32
	var zeros, scales [vec.MaxPanelLanes]float32
	lanes, width := vec.PanelLanes(), m.Cols
	if m.Group > 0 {
		width = min(m.Group, m.Cols)
	}
	for half := range 2 {
		row := func(i int) int { return min(from+half*lanes+i, m.Rows-1) }
		for i := range lanes {
			offsets[i] = int32(row(i) * (m.Cols * bits / 8))
		}
		for group, column := 0, 0; column < m.Cols; group, column = group+1, column+width {
			for i := range lanes {
				zeros[i], scales[i] = of(row(i), group)
			}
			vec.PanelUnpack(bits, dst[column*2*lanes+half*lanes:], codes[column*bits/8:], offsets[:lanes],
				zeros[:lanes], scales[:lanes], min(width, m.Cols-column)*bits/32, 2*lanes)
		}
	}
}
