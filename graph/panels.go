package graph

import "github.com/synapnet/synapnet-train/graph/vec"

// panelProduct is y = act(x Wᵀ + b) for x [m, k] and the weight W [n, k], panel by panel of the weight (vec.PanelMul).
// Floating-point and packed weights give the same bits, because only the making of a panel differs.
type panelProduct struct {
	x, y    []float32
	before  []float32 // act's argument is written here; nil: nobody wants it
	bias    []float32 // nil: none
	m, n, k int
	act     Activation
	// writes the panel of the rows of W from `from` on; rows beyond the last may be anything finite
	panel func(dst []float32, from int)
}

// byPanels says whether a product is made by panels: there is assembly for them, and enough rows and columns for the
// making of the panels to be paid for.
func byPanels(m, n int) bool { return vec.HasPanels() && m >= 16 && n >= vec.PanelLanes() }

// Tiles of the product. A panel is made once for panelRows rows of x at most, which stay in the second-level cache.
// actRows rows of its result are computed in memory of their own, which stays in the first-level cache, where they do
// not go to their place at once.
const (
	panelRows = 2048
	actRows   = 96
)

func (p panelProduct) run() { ParallelScratch(p.parts()) }

// parts divides the product for ParallelScratch.
func (p panelProduct) parts() (count, scratch int, part func(i int, scratch []float32)) {
	width := 2 * vec.PanelLanes()
	across := tiles(p.n, width)
	rows := min(p.m, panelRows)
	if across%2 == 1 && rows == p.m { // an odd number of panels: halves, which two cores can share
		rows = (p.m + 1) / 2
	}
	return tiles(p.m, rows) * across, (p.k + 1 + actRows) * width, func(i int, scratch []float32) {
		panel, bias, y := scratch[:p.k*width], scratch[p.k*width:(p.k+1)*width], scratch[(p.k+1)*width:]
		from, to := tile(i%across, width, p.n)
		p.panel(panel, from)
		clear(bias)
		if p.bias != nil {
			copy(bias, p.bias[from:to])
		}
		a, b := tile(i/across, rows, p.m)
		if p.act == Identity && to-from == width {
			vec.PanelMul(p.y[a*p.n+from:b*p.n], p.x[a*p.k:b*p.k], panel, bias, b-a, p.k, p.k, p.n)
			return
		}
		for ; a < b; a += actRows {
			part := min(actRows, b-a)
			vec.PanelMul(y, p.x[a*p.k:(a+part)*p.k], panel, bias, part, p.k, p.k, width)
			if p.before != nil {
				p.place(p.before, y, a, part, from, to)
			}
			p.act.apply(y[:part*width], y[:part*width])
			p.place(p.y, y, a, part, from, to)
		}
	}
}

// place copies the columns from … to-1 of part rows, from row a on, to their place in dst [m, n].
func (p panelProduct) place(dst, y []float32, a, part, from, to int) {
	width := 2 * vec.PanelLanes()
	for r := range part {
		copy(dst[(a+r)*p.n+from:(a+r)*p.n+to], y[r*width:])
	}
}

// panelOf makes panels of a floating-point weight [n, k].
func panelOf(w []float32, n, k int) func(dst []float32, from int) {
	return func(dst []float32, from int) { vec.PanelTranspose(dst, w[from*k:], n-from, k, k) }
}

// panelOfTransposed makes panels of wᵀ [k, n] for a floating-point w [n, k].
func panelOfTransposed(w []float32, n, k int) func(dst []float32, from int) {
	return func(dst []float32, from int) {
		vec.PanelCopy(dst, w[from:], n, min(k-from, 2*vec.PanelLanes()), k)
	}
}

// weightGradient is ∂W = eᵀ x for e [m, n] and x [m, k], [n, k]. A part is made of weightRows rows of e's columns at
// most and one panel of x, in order over all rows of both.
type weightGradient struct {
	dw, e, x []float32
	m, n, k  int
}

// gradientRows are the rows of e and x that a panel is made of: it stays in the second-level cache.
const gradientRows = 512

// parts divides the product for ParallelScratch.
func (p weightGradient) parts() (count, scratch int, part func(i int, scratch []float32)) {
	width := 2 * vec.PanelLanes()
	across := tiles(p.k, width)
	return across * tiles(p.n, weightRows), (gradientRows + weightRows) * width, func(i int, scratch []float32) {
		panel, sums := scratch[:gradientRows*width], scratch[gradientRows*width:]
		from, to := tile(i%across, width, p.k)
		a, b := tile(i/across, weightRows, p.n)
		clear(sums)
		for r := 0; r < p.m; r += gradientRows {
			rows := min(gradientRows, p.m-r)
			vec.PanelCopy(panel, p.x[r*p.k+from:], rows, to-from, p.k)
			vec.PanelAddT(sums, p.e[r*p.n+a:(r+rows-1)*p.n+b], panel[:rows*width], b-a, rows, p.n, width)
		}
		for j := a; j < b; j++ {
			copy(p.dw[j*p.k+from:j*p.k+to], sums[(j-a)*width:])
		}
	}
}
