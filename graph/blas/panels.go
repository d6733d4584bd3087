//go:build !cgo || !(openblas || (accelerate && darwin))

package blas

import (
	"sync"

	"gonum.org/v1/gonum/blas"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// Blocks of a product by panels: a panel of panelK rows of op(B) stays in the first-level cache for panelM rows of
// op(A), whose block stays in the second-level one.
const (
	panelM = 192
	panelK = 256
)

// byPanels says whether a product is made by panels: with few rows their making costs more than they save.
func byPanels(m, n int) bool { return vec.HasPanels() && m >= 8 && n >= vec.PanelLanes() }

// panelScratch are the panel and the columns of C that do not fill one.
var panelScratch = sync.Pool{New: func() any {
	s := make([]float32, (panelK+panelM)*2*vec.MaxPanelLanes)
	return &s
}}

// panelProduct adds alpha op(A) op(B) to C, in ascending order of k: the order of every accumulation is a function of
// the shape alone.
func panelProduct(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int,
	c []float32, ldc int) {
	width := 2 * vec.PanelLanes()
	scratch := panelScratch.Get().(*[]float32) //nolint:errcheck // it holds nothing else
	defer panelScratch.Put(scratch)
	panel, part := (*scratch)[:panelK*width], (*scratch)[panelK*width:]
	for l := 0; l < k; l += panelK {
		depth := min(panelK, k-l)
		for i := 0; i < m; i += panelM {
			rows := min(panelM, m-i)
			for j := 0; j < n; j += width {
				columns := min(width, n-j)
				if tB == blas.NoTrans {
					vec.PanelCopy(panel, b[l*ldb+j:], depth, columns, ldb)
				} else {
					vec.PanelTranspose(panel, b[j*ldb+l:], columns, depth, ldb)
				}
				if alpha != 1 {
					vec.Scale(panel[:depth*width], alpha, panel[:depth*width])
				}
				y, ldy := c[i*ldc+j:], ldc
				if columns < width {
					y, ldy = part, width
					for r := range rows {
						copy(y[r*width:r*width+columns], c[(i+r)*ldc+j:])
					}
				}
				if tA == blas.NoTrans {
					vec.PanelAdd(y, a[i*lda+l:], panel, rows, depth, lda, ldy)
				} else {
					vec.PanelAddT(y, a[l*lda+i:], panel, rows, depth, lda, ldy)
				}
				if columns < width {
					for r := range rows {
						copy(c[(i+r)*ldc+j:(i+r)*ldc+j+columns], y[r*width:])
					}
				}
			}
		}
	}
}

// scaleRows multiplies C by beta; what is in it is not read where beta is 0.
func scaleRows(c []float32, m, n, ldc int, beta float32) {
	for r := range m {
		row := c[r*ldc : r*ldc+n]
		switch beta {
		case 0:
			clear(row)
		case 1:
		default:
			vec.Scale(row, beta, row)
		}
	}
}
