package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// pairs makes of a scatter view of one metric, whose x is another, a view of both: a row for each point.
func pairs(v lab.View, all []result.Measurement) (lab.View, []result.Measurement) {
	if v.Figure == nil || v.Figure.Kind != "scatter" || v.Metric == "" {
		return v, all
	}
	var both []result.Measurement
	for _, metric := range []string{v.Metric, v.Figure.X} {
		for _, m := range all {
			if m.Metric == metric {
				both = append(both, m)
			}
		}
	}
	if v.Column != "" {
		v.Rows = append(slices.Clone(v.Rows), v.Column)
	}
	v.Metric, v.Column = "", ""
	return v, both
}

// points is a scatter: a mark for each pair of values.
type points struct {
	panel  *panel
	series []string
	heavy  string // of them
}

// Plot draws them.
func (l points) Plot(c draw.Canvas, p *plot.Plot) {
	s := canvas(c)
	x, y := p.Transforms(&c)
	place := func(across, up float64) vg.Point { return vg.Point{X: x(across), Y: y(up)} }
	s.open("front", "")
	var path []vg.Point
	for _, d := range front(l.panel.data) {
		path = append(path, place(d.x, d.m.Mean))
	}
	c.StrokeLines(draw.LineStyle{Color: inkMuted, Width: 1.1, Dashes: []vg.Length{5, 2.5}}, path)
	s.close()
	for _, d := range l.panel.data {
		at := place(d.x, d.m.Mean)
		style := draw.LineStyle{Color: inkSeries, Width: 1}
		s.open(seriesClass(l.series, d.series), "")
		s.open("mark", d.title(l.series))
		if iv := d.m.Interval; iv != nil {
			c.StrokeLine2(style, at.X, y(iv.Low), at.X, y(iv.High))
		}
		if iv := d.across.Interval; iv != nil {
			c.StrokeLine2(style, x(iv.Low), at.Y, x(iv.High), at.Y)
		}
		lookOf(l.series, d.series, l.heavy).mark(s, at, 4)
		s.close()
		s.close()
	}
	l.name(c, place)
}

// name writes beside each mark the name of its series, where it covers the least of marks, intervals, names and the
// edge.
func (l points) name(c draw.Canvas, place func(across, up float64) vg.Point) {
	style := text.Style{Color: inkSeries, Font: font.Font{Typeface: plot.DefaultFont.Typeface, Variant: "Sans", Size: 9},
		YAlign: draw.YCenter, Handler: plot.DefaultTextHandler}
	taken := l.taken(place)
	s := canvas(c)
	fromLeft := slices.SortedStableFunc(slices.Values(l.panel.data), func(a, b datum) int { return cmp.Compare(a.x, b.x) })
	for _, d := range fromLeft { // those at the left edge have the fewest places
		name := l.series[d.series]
		best, least := vg.Rectangle{}, math.Inf(1)
		for i, box := range besides(place(d.x, d.m.Mean), style.Width(name), style.Height(name)) {
			covered := 4*float64(i) + 100*(overlap(box, box)-overlap(box, c.Rectangle)) // the nearer the better
			for _, t := range taken {
				covered += overlap(box, t)
			}
			if covered < least {
				best, least = box, covered
			}
		}
		taken = append(taken, best)
		s.open(seriesClass(l.series, d.series), "")
		c.FillText(style, vg.Point{X: best.Min.X, Y: (best.Min.Y + best.Max.Y) / 2}, name)
		s.close()
	}
}

// taken is what the marks and their intervals cover.
func (l points) taken(place func(across, up float64) vg.Point) []vg.Rectangle {
	var all []vg.Rectangle
	add := func(from, to vg.Point, half vg.Length) {
		by := vg.Point{X: half, Y: half}
		all = append(all, vg.Rectangle{Min: from.Sub(by), Max: to.Add(by)})
	}
	for _, d := range l.panel.data {
		at := place(d.x, d.m.Mean)
		add(at, at, 5)
		if iv := d.m.Interval; iv != nil {
			add(place(d.x, iv.Low), place(d.x, iv.High), 1)
		}
		if iv := d.across.Interval; iv != nil {
			add(place(iv.Low, d.m.Mean), place(iv.High, d.m.Mean), 1)
		}
	}
	return all
}

// besides are the places of a text about a mark, the best first.
func besides(at vg.Point, width, height vg.Length) []vg.Rectangle {
	var all []vg.Rectangle
	for _, far := range []vg.Length{1, 2, 3} {
		x, y := 2+2*far, far*height
		for _, corner := range []vg.Point{
			{X: x, Y: y - height/2}, {X: x, Y: -y - height/2}, {X: -x - width, Y: y - height/2},
			{X: -x - width, Y: -y - height/2}, {X: x + 3, Y: -height / 2}, {X: -x - 3 - width, Y: -height / 2},
		} {
			corner = at.Add(corner)
			all = append(all, vg.Rectangle{Min: corner, Max: corner.Add(vg.Point{X: width, Y: height})})
		}
	}
	return all
}

// overlap is the area that two rectangles share.
func overlap(a, b vg.Rectangle) float64 {
	w := min(a.Max.X, b.Max.X) - max(a.Min.X, b.Min.X)
	h := min(a.Max.Y, b.Max.Y) - max(a.Min.Y, b.Min.Y)
	return float64(max(w, 0) * max(h, 0))
}

// front are the points that no other is at least as good as in both axes and better in one, in the order of x.
func front(all []datum) []datum {
	better := func(a, b *result.Measurement) float64 { // above 0: a is better
		if a.Unit == "tokens/s" || machineFree(a) {
			return a.Mean - b.Mean
		}
		return b.Mean - a.Mean
	}
	var best []datum
	for _, d := range all {
		if !slices.ContainsFunc(all, func(o datum) bool {
			dx, dy := better(o.across, d.across), better(o.m, d.m)
			return dx >= 0 && dy >= 0 && dx+dy > 0
		}) {
			best = append(best, d)
		}
	}
	slices.SortStableFunc(best, func(a, b datum) int { return cmp.Compare(a.x, b.x) })
	return best
}

// scattered are the measurements of the first of the other metrics, each with that of the figure's which has the same
// labels.
func scattered(f *lab.Figure, labels []string, found []result.Measurement) (data []datum) {
	// maps are printed in the order of their keys
	key := func(m *result.Measurement) string { return m.Protocol + fmt.Sprint(m.Labels) }
	across, metric := map[string]*result.Measurement{}, ""
	for i := range found {
		if m := &found[i]; m.Metric == f.X {
			across[key(m)] = m
		} else {
			metric = cmp.Or(metric, m.Metric)
		}
	}
	for i := range found {
		m := &found[i]
		x := across[key(m)]
		if m.Metric != metric || x == nil {
			continue
		}
		var name []string
		for _, l := range labels {
			name = append(name, m.Labels[l])
		}
		data = append(data, datum{m: m, across: x, name: strings.Join(name, ", ")})
	}
	return data
}

func drawPoints(q *panel, f *lab.Figure, series []string, label string) (string, error) {
	var xs []datum
	for _, d := range q.data {
		x := *d.across
		x.Published = nil
		xs = append(xs, datum{m: &x})
	}
	p := newPlot()
	p.Add(grid(true, true))
	setValues(&p.X, xs, false)
	if low, high := extent(xs); f.LogX && low > 0 && p.X.Scale != (plot.LogScale{}) {
		setLog(&p.X, xs[0].m.Unit, low/1.3, high*1.3)
	}
	setValues(&p.Y, q.data, false)
	p.Add(points{q, series, f.Heavy})
	return render(p, panelHeight, label)
}
