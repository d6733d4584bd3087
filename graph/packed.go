package graph

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// Unpacker makes floats of the bytes of a packed weight, which it sees as a matrix [rows, columns].
type Unpacker interface {
	// Rows writes rows from … to-1 into dst [to-from, columns].
	Rows(dst []float32, from, to int)
	// Panels says whether products are to be computed from panels. Without them LinearPacked unpacks rows and multiplies
	// by BLAS.
	Panels() bool
	// Panel writes the rows from `from` on, as many as a panel of package vec is wide (2·vec.PanelLanes), into dst
	// [columns, width], with the bits that Rows gives. Past the last row it repeats that one. PanelOfRows does so by Rows.
	Panel(dst []float32, from int)
}

// PackedMatrix is a quantised weight that kernels compute with from the bytes that it is stored in: LinearPacked,
// EmbedPacked, EmbedAtPacked and GatedConvPacked. They unpack what they multiply, and forget it.
type PackedMatrix struct {
	Unpacker
	form       string
	shape      []int
	rows, cols int
	id         uint64 // tells kernels of different weights apart
}

var packedCount atomic.Uint64

// NewPackedMatrix makes a weight of a shape that is seen as [rows, cols]; form says what it is packed as.
func NewPackedMatrix(form string, shape []int, rows, cols int, u Unpacker) *PackedMatrix {
	return &PackedMatrix{u, form, slices.Clone(shape), rows, cols, packedCount.Add(1)}
}

// String names the weight among those of a process.
func (p *PackedMatrix) String() string { return fmt.Sprintf("packed %s %v #%d", p.form, p.shape, p.id) }

// Size is the number of weights.
func (p *PackedMatrix) Size() int { return p.rows * p.cols }

// Floats is the weight in floating point.
func (p *PackedMatrix) Floats() []float32 {
	w := make([]float32, p.Size())
	p.Rows(w, 0, p.rows)
	return w
}

// PanelOfRows is Unpacker.Panel by way of Rows, for a matrix of the given size.
func PanelOfRows(u Unpacker, rows, cols int, dst []float32, from int) {
	width := 2 * vec.PanelLanes()
	row := make([]float32, cols)
	for i := range width {
		if r := from + i; r < rows { // after the last row, row still holds it
			u.Rows(row, r, r+1)
		}
		for j, v := range row {
			dst[j*width+i] = v
		}
	}
}
