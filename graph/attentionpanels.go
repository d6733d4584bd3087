package graph

import (
	"math"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// byPanels says whether the products of attention are made by panels (vec.PanelMul): there is assembly for them, the
// values of a head fill whole panels, and the queries are worth the making of the panels.
func (o attention) byPanels(queries, headWidth int) bool {
	return vec.HasPanels() && queries >= 16 && headWidth%(2*vec.PanelLanes()) == 0
}

// scoreStride is the distance of the rows of scores: whole panels, and a cache line more, because rows that are a page
// apart would share their places in the first-level cache.
func scoreStride(keys int) int {
	width := 2 * vec.PanelLanes()
	return tiles(keys, width)*width + 16
}

// packColumns makes panels of xᵀ for a head's rows x [n, e], d floats apart: [tiles(n), e, width], the last row
// repeated.
func packColumns(dst, x []float32, n, e, d int) {
	width := 2 * vec.PanelLanes()
	for i := 0; i < n; i += width {
		vec.PanelTranspose(dst[i*e:], x[i*d:], n-i, e, d)
	}
}

// packRows makes panels of a head's rows x [n, e], d floats apart, times scale: [e/width, n, width].
func packRows(dst, x []float32, n, e, d int, scale float32) {
	width := 2 * vec.PanelLanes()
	for j := 0; j < e; j += width {
		vec.PanelCopy(dst[j*n:], x[j:], n, width, d)
	}
	if scale != 1 {
		vec.Scale(dst[:n*e], scale, dst[:n*e])
	}
}

// mulColumns computes s = x wᵀ for the rows x [m, e], d floats apart, and the panels of packColumns of n rows of w.
func mulColumns(s, x, panels, zero []float32, m, n, e, d, stride int) {
	width := 2 * vec.PanelLanes()
	for j := 0; j < n; j += width {
		vec.PanelMul(s[j:], x, panels[j*e:(j+width)*e], zero, m, e, d, stride)
	}
}

// mulRows computes y = s w for the scores s [m, n] and the panels of packRows of all rows of w, of which it takes the
// first n; y has rows d floats apart.
func mulRows(y, s, panels, zero []float32, m, n, rows, e, d, stride int) {
	width := 2 * vec.PanelLanes()
	for j := 0; j < e; j += width {
		vec.PanelMul(y[j:], s, panels[j*rows:j*rows+n*width], zero, m, n, stride, d)
	}
}

// addTransposed adds sᵀ w to y, for the scores s [m, n] and the panels of packRows of m rows of w; y has n rows d
// floats apart.
func addTransposed(y, s, panels []float32, m, n, e, d, stride int) {
	width := 2 * vec.PanelLanes()
	for j := 0; j < e; j += width {
		vec.PanelAddT(y[j:], s, panels[j*m:(j+width)*m], n, m, stride, d)
	}
}

func (o attention) forwardPanels(c *Call) {
	queries, keys, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	e := d / o.heads
	width := 2 * vec.PanelLanes()
	heads, across := c.In[0].Dim(0)*o.heads, tiles(keys, width)
	packed := getScratch(heads * across * width * e)
	defer putScratch(packed)
	Parallel(heads*across, func(i int) {
		head := i / across
		from := i % across * width
		vec.PanelTranspose(packed[i*width*e:], c.In[1].F[(head/o.heads*keys+from)*d+head%o.heads*e:], keys-from, e, d)
	})
	rows, stride := o.blockRows(keys), scoreStride(keys)
	blocks := tiles(queries, rows)
	ParallelScratch(heads*blocks, rows*stride+rows+keys*e+width, func(i int, scratch []float32) {
		s, norm := cut(&scratch, rows*stride), cut(&scratch, rows)
		values, zero := cut(&scratch, keys*e), cut(&scratch, width)
		clear(zero)
		head := i / blocks
		b, h := head/o.heads, head%o.heads
		from, to := tile(i%blocks, rows, queries)
		n := to - from
		at := (b*queries+from)*d + h*e
		visible := o.seen(to-1, queries, keys)
		mulColumns(s, c.In[0].F[at:], packed[head*across*width*e:], zero, n, visible, e, d, stride)
		o.softmax(c, s, norm, stride, head, from, n, visible)
		packRows(values, c.In[2].F[b*keys*d+h*e:], visible, e, d, 1)
		y := c.Out.F[at:]
		mulRows(y, s, values, zero, n, visible, visible, e, d, stride)
		for r := range n { // normalising y instead of the scores is E instead of K operations a row
			vec.Scale(y[r*d:r*d+e], norm[r], y[r*d:r*d+e])
		}
	})
}

func (o attention) backwardPanels(c *Call) {
	queries, keys, d := c.In[0].Dim(1), c.In[1].Dim(1), c.In[0].Dim(2)
	e := d / o.heads
	scale := float32(1 / math.Sqrt(float64(e)))
	width := 2 * vec.PanelLanes()
	rows, stride := o.blockRows(keys), scoreStride(keys)
	columns := tiles(keys, width) * width * e
	size := 2*rows*stride + 2*columns + keys*e + rows*e + width
	ParallelScratch(c.In[0].Dim(0)*o.heads, size, func(i int, scratch []float32) {
		p, ds := cut(&scratch, rows*stride), cut(&scratch, rows*stride)
		keyColumns, valueColumns := cut(&scratch, columns), cut(&scratch, columns)
		keyRows, block, zero := cut(&scratch, keys*e), cut(&scratch, rows*e), cut(&scratch, width)
		clear(zero)
		b, h := i/o.heads, i%o.heads
		ofKeys := b*keys*d + h*e
		packColumns(keyColumns, c.In[1].F[ofKeys:], keys, e, d)
		packColumns(valueColumns, c.In[2].F[ofKeys:], keys, e, d)
		if c.GradIn[0].F != nil {
			packRows(keyRows, c.In[1].F[ofKeys:], keys, e, d, scale)
		}
		var dBias []float32
		if o.bias && c.GradIn[3].F != nil {
			dBias = c.Work[0].F[i*keys : (i+1)*keys]
			clear(dBias)
		}
		o.clearHead(c.GradIn[1], b, h)
		o.clearHead(c.GradIn[2], b, h)
		for from := 0; from < queries; from += rows {
			n := min(rows, queries-from)
			at := (b*queries+from)*d + h*e
			q, dy := c.In[0].F[at:], c.Grad.F[at:]
			visible := o.seen(from+n-1, queries, keys)
			mulColumns(p, q, keyColumns, zero, n, visible, e, d, stride)
			mulColumns(ds, dy, valueColumns, zero, n, visible, e, d, stride)
			o.softmaxGrad(c, p, ds, dBias, stride, i, from, n, visible)
			wanted(c.GradIn[2], ofKeys, func(dv []float32) {
				packRows(block, dy, n, e, d, 1)
				addTransposed(dv, p, block, n, visible, e, d, stride)
			})
			wanted(c.GradIn[1], ofKeys, func(dk []float32) {
				packRows(block, q, n, e, d, scale)
				addTransposed(dk, ds, block, n, visible, e, d, stride)
			})
			wanted(c.GradIn[0], at, func(dq []float32) {
				mulRows(dq, ds, keyRows, zero, n, visible, keys, e, d, stride)
			})
		}
	})
	o.sumBias(c)
}
