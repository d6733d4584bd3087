package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// Figure is one panel of a view's figure.
type Figure struct {
	Title    string // of the panel, "" for the only one
	Protocol string
	SVG      string
}

// Series is a line or colour of a figure, in its legend.
type Series struct {
	Name   string
	Index  int
	Class  string // of the style sheet: its colour, and what tells it from others of that colour
	Broken bool   // the line
}

// palette is the number of series colours in the style sheet; further series repeat them with broken lines and square
// marks.
const palette = 8

// The size of a panel in points, chosen so that its text can be read on a phone.
const (
	panelWidth  = 370
	panelHeight = 222
	barHeight   = 12.5 // of one bar with its share of the gap
	fontSize    = 10.5
	labelSize   = 9
)

// datum is a measurement in a figure.
type datum struct {
	m      *result.Measurement
	across *result.Measurement // in a scatter, that of the metric on the x axis
	x      float64
	name   string // of the place on the x axis; in a scatter, of the point
	series int
}

// panel is the data of one panel.
type panel struct {
	title  string
	data   []datum
	places []string // on a nominal axis, in order
}

// draw adds the figure of a view to its table.
func (t *Table) draw(v lab.View, all []result.Measurement) error {
	f := v.Figure
	if f == nil {
		return nil
	}
	labels, found := selected(v, all)
	if v.Column != "" {
		labels = append(slices.Clone(labels), v.Column)
	}
	var data []datum
	scatter := f.Kind == "scatter"
	if scatter {
		data = scattered(f, labels, found)
	} else {
		for i := range found {
			data = append(data, datum{m: &found[i], name: found[i].Labels[f.X]})
		}
	}
	panels, series := split(f, labels, data, bothProtocols(found))
	if len(series) > 1 || scatter {
		t.Legend = legend(f, series)
	}
	t.Front = scatter
	t.assignSeries(f.Series, series)
	drawPanel := drawLines
	switch {
	case scatter:
		drawPanel = drawPoints
	case f.Kind == "bar":
		drawPanel = drawBars
	}
	for _, p := range panels {
		svg, err := drawPanel(p, f, series, v.Title+" "+p.title)
		if err != nil {
			return err
		}
		t.Figures = append(t.Figures, Figure{p.title, p.data[0].m.Protocol, svg})
	}
	return nil
}

// legend names the series; numbers with the label that they are of.
func legend(f *lab.Figure, series []string) []Series {
	var all []Series
	for i, name := range series {
		l := lookOf(series, i, f.Heavy)
		class := l.colour
		switch {
		case l.heavy:
			class += " heavy"
		case l.square:
			class += " square"
		}
		if _, err := strconv.ParseFloat(name, 64); err == nil {
			name = f.Series + " " + name
		}
		all = append(all, Series{name, i, class, l.broken})
	}
	return all
}

// assignSeries says of each row which series has its data.
func (t *Table) assignSeries(label string, series []string) {
	column := slices.Index(t.Labels, label)
	if column < 0 {
		return
	}
	for i := range t.Rows {
		t.Rows[i].Series = slices.Index(series, t.Rows[i].Labels[column])
	}
}

// split puts measurements into panels: one for each combination of the labels that are on no axis, and each protocol
// its own where both are there: a line through values of both would draw a change of the protocol as an effect of x.
func split(f *lab.Figure, labels []string, data []datum, both bool) (panels []*panel, series []string) {
	var rest []string
	for _, l := range labels {
		if l != f.X && l != f.Series {
			rest = append(rest, l)
		}
	}
	at := map[string]*panel{}
	for _, d := range data {
		var parts []string
		for _, l := range rest {
			parts = append(parts, l+" "+d.m.Labels[l])
		}
		if both {
			parts = append(parts, d.m.Protocol)
		}
		title := strings.Join(parts, ", ")
		p := at[title]
		if p == nil {
			p = &panel{title: title}
			at[title], panels = p, append(panels, p)
		}
		series = lab.AppendNew(series, d.m.Labels[f.Series])
		p.places = lab.AppendNew(p.places, d.name)
		p.data = append(p.data, d)
	}
	series = inOrder(series, f.Heavy)
	for _, p := range panels {
		sortNumbers(p.places)
		for i := range p.data {
			d := &p.data[i]
			d.series = slices.Index(series, d.m.Labels[f.Series])
			if d.across != nil {
				d.x = d.across.Mean
				continue
			}
			var err error
			if d.x, err = strconv.ParseFloat(d.name, 64); err != nil {
				d.x = float64(slices.Index(p.places, d.name))
			}
		}
	}
	return panels, series
}

// inOrder puts the series that a view is about first, numbers in their order, and guessing last.
func inOrder(series []string, heavy string) []string {
	sortNumbers(series)
	if i := slices.Index(series, heavy); i >= 0 {
		series = slices.Insert(slices.Delete(series, i, i+1), 0, heavy)
	}
	if i := slices.Index(series, result.Guessing); i >= 0 {
		series = append(slices.Delete(series, i, i+1), result.Guessing)
	}
	return series
}

// bothProtocols says whether there are measurements of each.
func bothProtocols(all []result.Measurement) bool {
	return slices.ContainsFunc(all, func(m result.Measurement) bool { return m.Protocol != all[0].Protocol })
}

// newPlot is an empty plot in the page's colours.
func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	sans := font.Font{Typeface: plot.DefaultFont.Typeface, Variant: "Sans", Size: fontSize}
	for _, s := range []*text.Style{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		s.Font, s.Color = sans, inkMuted
	}
	p.X.Label.TextStyle.Font.Size, p.Y.Label.TextStyle.Font.Size = labelSize, labelSize
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.Width = inkGrid, 1
		a.Tick.Color, a.Tick.Width, a.Tick.Length = inkGrid, 1, 3
		a.Padding = 4
	}
	return p
}

func grid(vertical, horizontal bool) *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = inkGrid, inkGrid
	g.Vertical.Width, g.Horizontal.Width = 0, 0
	if vertical {
		g.Vertical.Width = 0.6
	}
	if horizontal {
		g.Horizontal.Width = 0.6
	}
	return g
}

// title is what a mark says when pointed at.
func (d datum) title(series []string) string {
	if x := d.across; x != nil {
		return fmt.Sprintf("%s: %s %s, %s %s, %s", d.name, words(d.m.Metric), withSpan(d.m), words(x.Metric), withSpan(x),
			d.m.Protocol)
	}
	var b strings.Builder
	var parts []string
	if s := series[d.series]; s != "" {
		parts = append(parts, s)
	}
	if d.name != "" && (len(parts) == 0 || parts[0] != d.name) {
		parts = append(parts, d.name)
	}
	b.WriteString(strings.Join(parts, ", ") + ": " + withSpan(d.m))
	_, _ = fmt.Fprintf(&b, ", n = %d, %s", d.m.N, d.m.Protocol)
	if p := d.m.Published; p != nil {
		b.WriteString("\npublished: " + plain(d.m.Unit).withStd(p.Mean, p.Std))
	}
	return b.String()
}

// withSpan is a value with its unit and interval.
func withSpan(m *result.Measurement) string {
	s := value(m.Mean, m.Unit)
	if u := unitName(m.Unit); u != "" {
		s += " " + u
	}
	if m.Interval != nil {
		s += " " + plain(m.Unit).span(m.Interval)
	}
	return s
}

// look is how a series is drawn.
type look struct {
	colour string // class of the style sheet
	broken bool   // the line
	square bool   // the marks, which are discs otherwise
	heavy  bool   // the line
}

// lookOf is how the series i is drawn. Guessing, which others are held against, has no colour.
func lookOf(series []string, i int, heavy string) look {
	if series[i] == result.Guessing {
		return look{colour: "sg", broken: true}
	}
	again := i >= palette
	return look{fmt.Sprintf("s%d", i%palette), again, again, heavy != "" && series[i] == heavy}
}

// line is the style of a line, of which width is usual.
func (l look) line(width vg.Length) draw.LineStyle {
	style := draw.LineStyle{Color: inkSeries, Width: width}
	if l.heavy {
		style.Width *= 2
	}
	if l.broken {
		style.Dashes = []vg.Length{4, 2.5}
	}
	return style
}

// mark draws the mark of a value.
func (l look) mark(s *svg, at vg.Point, r vg.Length) {
	if l.heavy {
		r *= 1.4
	}
	if l.square {
		s.square(at, r)
		return
	}
	s.dot(at, r)
}

func seriesClass(series []string, i int) string {
	return fmt.Sprintf("s %s d%d", lookOf(series, i, "").colour, i)
}

// mostIntervals is the number of lines up to which their intervals can be told apart. Of more lines the heavy one has
// them always, the others when they are brought out; all have them in their titles.
const mostIntervals = 8

// lines are the series of a panel as lines through their means, with intervals; published means are rings.
type lines struct {
	panel  *panel
	series []string
	heavy  string    // of them
	shift  []float64 // of a series along x, in points, so that intervals do not cover each other
}

// Plot draws them.
func (l lines) Plot(c draw.Canvas, p *plot.Plot) {
	s := canvas(c)
	x, y := p.Transforms(&c)
	for i := range slices.Backward(l.series) { // the first, which may be the heavy one, on top
		var data []datum
		for _, d := range l.panel.data {
			if d.series == i {
				data = append(data, d)
			}
		}
		if len(data) == 0 {
			continue
		}
		slices.SortStableFunc(data, func(a, b datum) int { return cmp.Compare(a.x, b.x) })
		s.open(seriesClass(l.series, i), "")
		at := func(d datum, v float64) vg.Point {
			return vg.Point{X: x(d.x) + vg.Length(l.shift[i]), Y: y(v)}
		}
		var path []vg.Point
		for _, d := range data {
			path = append(path, at(d, d.m.Mean))
		}
		look := lookOf(l.series, i, l.heavy)
		c.StrokeLines(look.line(1.6), path)
		for _, d := range data {
			s.open("mark", d.title(l.series))
			if iv := d.m.Interval; iv != nil {
				class := "interval"
				if len(l.series) > mostIntervals && !look.heavy {
					class += " late"
				}
				s.open(class, "")
				c.StrokeLine2(draw.LineStyle{Color: inkSeries, Width: 1}, at(d, iv.Low).X, at(d, iv.Low).Y, at(d, iv.High).X,
					at(d, iv.High).Y)
				s.close()
			}
			if d.m.Published != nil {
				s.ring(at(d, d.m.Published.Mean), 3)
			}
			look.mark(s, at(d, d.m.Mean), 2.6)
			s.close()
		}
		s.close()
	}
}

// extent is the smallest and largest value of data on the value axis, intervals and published means included.
func extent(data []datum) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	add := func(x float64) { low, high = min(low, x), max(high, x) }
	for _, d := range data {
		add(d.m.Mean)
		if d.m.Interval != nil {
			add(d.m.Interval.Low)
			add(d.m.Interval.High)
		}
		if d.m.Published != nil {
			add(d.m.Published.Mean)
		}
	}
	return low, high
}

// logarithmic says whether a value axis from low to high is better read in powers of ten.
func logarithmic(low, high float64) bool { return low > 0 && high/low > 50 }

// setValues scales the value axis of a plot. fromZero: what stands on it is read by its length.
func setValues(a *plot.Axis, data []datum, fromZero bool) {
	low, high := extent(data)
	unit := data[0].m.Unit
	a.Label.Text = words(data[0].m.Metric)
	if u := unitName(unit); u != "" {
		a.Label.Text += " (" + u + ")"
	}
	if unit != "1" && logarithmic(low, high) {
		setLog(a, unit, low/1.3, high*1.3)
		return
	}
	a.Tick.Marker = even{unit}
	a.Min, a.Max = min(0, low), max(0, high)
	switch {
	case unit == "1" && low >= 0 && high > 0.6 && high <= 1:
		a.Max = 1
	case !fromZero && low > 0.5*high && high-low > 0.02*high && unit != "1": // far from 0: differences would not be seen
		a.Min = low - 0.15*(high-low)
		a.Max = high + 0.05*(high-low)
	default:
		a.Max += 0.06 * (a.Max - a.Min)
	}
	if a.Min == a.Max {
		a.Max = a.Min + 1
	}
}

// setLog makes an axis logarithmic, and says so.
func setLog(a *plot.Axis, unit string, low, high float64) {
	a.Scale, a.Tick.Marker = plot.LogScale{}, powers{unit}
	a.Min, a.Max = low, high
	a.Label.Text += ", log scale"
}

// even are about five ticks at round numbers, in the unit's number format.
type even struct{ unit string }

// Ticks are those from low to high.
func (e even) Ticks(low, high float64) []plot.Tick {
	raw := (high - low) / 5
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, s := range []float64{1, 2, 5} {
		if s*power >= 0.9*raw {
			step = s * power
			break
		}
	}
	label := func(x float64) string { return tickText(x, e.unit) }
	if e.unit == "bytes" { // one prefix, and as many decimals as the steps need
		prefix, size := bytePrefix(max(math.Abs(low), math.Abs(high)))
		label = func(x float64) string { return tickText(x/size, "") + " " + prefix }
	}
	var ticks []plot.Tick
	for k := math.Ceil(low/step - 1e-9); k*step <= high+1e-9*step; k++ {
		ticks = append(ticks, plot.Tick{Value: k * step, Label: label(k * step)})
	}
	return ticks
}

// powers are ticks at powers of ten and, where they are few, at 2 and 5 times those.
type powers struct{ unit string }

// Ticks are those from low to high.
func (e powers) Ticks(low, high float64) []plot.Tick {
	steps := []float64{1, 2, 5}
	if math.Log10(high/low) > 2 {
		steps = steps[:1]
	}
	var ticks []plot.Tick
	for k := math.Floor(math.Log10(low)); k <= math.Log10(high); k++ {
		for _, s := range steps {
			if v := s * math.Pow(10, k); v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: tickText(v, e.unit)})
			}
		}
	}
	return ticks
}

func tickText(x float64, unit string) string {
	if unit == "bytes" {
		return bytesText(x)
	}
	s := minus(strconv.FormatFloat(math.Round(x*1e9)/1e9, 'f', -1, 64))
	if strings.Contains(s, ".") {
		return s
	}
	return thousands(s)
}

// setPlaces scales the x axis of a line figure: ticks where the data are if these are few.
func setPlaces(p *plot.Plot, f *lab.Figure, q *panel) {
	p.X.Label.Text = f.X
	values := map[float64]string{}
	low, high := math.Inf(1), math.Inf(-1)
	for _, d := range q.data {
		values[d.x] = d.name
		low, high = min(low, d.x), max(high, d.x)
	}
	switch {
	case f.LogX && low > 0 && low < high:
		margin := math.Pow(high/low, 0.04)
		setLog(&p.X, "", low/margin, high*margin)
	case low < high:
		p.X.Min, p.X.Max = low-0.04*(high-low), high+0.04*(high-low)
	default:
		p.X.Min, p.X.Max = low-1, high+1
	}
	if len(values) <= 8 {
		var ticks []plot.Tick
		for x, name := range values {
			if _, err := strconv.Atoi(name); err == nil {
				name = thousands(name)
			}
			ticks = append(ticks, plot.Tick{Value: x, Label: name})
		}
		slices.SortFunc(ticks, func(a, b plot.Tick) int { return cmp.Compare(a.Value, b.Value) })
		p.X.Tick.Marker = plot.ConstantTicks(ticks)
	}
}

func drawLines(q *panel, f *lab.Figure, series []string, label string) (string, error) {
	p := newPlot()
	p.Add(grid(false, true))
	setPlaces(p, f, q)
	setValues(&p.Y, q.data, false)
	l := lines{panel: q, series: series, heavy: f.Heavy, shift: make([]float64, len(series))}
	step := min(3, 24/float64(len(series)))
	for i := range series {
		l.shift[i] = step * (float64(i) - float64(len(series)-1)/2)
	}
	p.Add(l)
	return render(p, panelHeight, label)
}

// render draws a plot.
func render(p *plot.Plot, height vg.Length, label string) (text string, err error) {
	defer func() { // gonum/plot panics on axes that it cannot draw
		if problem := recover(); problem != nil {
			err = fmt.Errorf("figure %q: %v", label, problem)
		}
	}()
	s := newSVG(panelWidth, height)
	c := draw.New(s)
	c = draw.Crop(c, 2, -10, 2, -6)
	if _, log := p.Y.Scale.(plot.LogScale); log {
		c = labelSide(p, c)
	}
	p.Draw(c)
	return s.element(strings.TrimSpace(label)), nil
}

// labelSide writes the label of the y axis at the left of c and gives what is left of c. gonum/plot takes the middle of
// a logarithmic axis for the place of half its largest value, and leaves room above it for half the label.
func labelSide(p *plot.Plot, c draw.Canvas) draw.Canvas {
	style := p.Y.Label.TextStyle
	style.Rotation += math.Pi / 2
	width := style.Height(p.Y.Label.Text)
	c.FillText(style, vg.Point{X: c.Min.X + width, Y: (c.Min.Y + c.Max.Y) / 2}, p.Y.Label.Text)
	p.Y.Label.Text = ""
	return draw.Crop(c, width+p.Y.Label.Padding+2, 0, 0, 0)
}

// bars are horizontal bars, a group for each place from the top, a bar for each series in it. On a logarithmic axis,
// where the length of a bar means nothing, they are dots.
type bars struct {
	panel  *panel
	series []string
}

// Plot draws them.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	s := canvas(c)
	x, y := p.Transforms(&c)
	_, dots := p.X.Scale.(plot.LogScale)
	for i := range b.series {
		s.open(seriesClass(b.series, i), "")
		for _, d := range b.panel.data {
			if d.series != i {
				continue
			}
			top := y(b.at(d)) + 0.36*barHeight
			bottom := top - 0.72*barHeight
			middle := (top + bottom) / 2
			s.open("mark bar", d.title(b.series))
			if !dots {
				c.FillPolygon(inkSeries, []vg.Point{{X: x(0), Y: bottom}, {X: x(d.m.Mean), Y: bottom}, {X: x(d.m.Mean), Y: top},
					{X: x(0), Y: top}})
			}
			if iv := d.m.Interval; iv != nil {
				// seen on the bar, too
				for _, style := range []draw.LineStyle{{Color: inkCard, Width: 2.7}, {Color: inkText, Width: 0.9}} {
					c.StrokeLine2(style, x(iv.Low), middle, x(iv.High), middle)
				}
			}
			if d.m.Published != nil {
				s.ring(vg.Point{X: x(d.m.Published.Mean), Y: middle}, 3)
			}
			if dots {
				s.dot(vg.Point{X: x(d.m.Mean), Y: middle}, 3.4)
			}
			s.close()
		}
		s.close()
	}
}

// at is the place of a bar on the y axis, in bars from the bottom.
func (b bars) at(d datum) float64 {
	group := len(b.panel.places) - 1 - slices.Index(b.panel.places, d.name)
	within := 0.
	if len(b.series) > 1 {
		within = float64(len(b.series) - 1 - d.series)
	}
	return float64(group)*b.pitch() + within
}

// pitch is the distance of groups, in bars.
func (b bars) pitch() float64 {
	if len(b.series) == 1 {
		return 1
	}
	return float64(len(b.series)) + 0.7
}

func drawBars(q *panel, _ *lab.Figure, series []string, label string) (string, error) {
	same := !slices.ContainsFunc(q.data, func(d datum) bool { return series[d.series] != d.name })
	if same { // one bar a place, each its own series
		for i := range q.data {
			q.data[i].series = 0
		}
	}
	used := map[int]bool{}
	for _, d := range q.data {
		used[d.series] = true
	}
	b := bars{q, series}
	if same {
		b.series = []string{""}
	}
	p := newPlot()
	p.Add(grid(true, false))
	setValues(&p.X, q.data, true)
	var ticks []plot.Tick
	for _, name := range q.places {
		first := b.at(datum{name: name})
		last := b.at(datum{name: name, series: len(b.series) - 1})
		ticks = append(ticks, plot.Tick{Value: (first + last) / 2, Label: name})
	}
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Tick.Width = 0
	p.Y.Tick.Label.Color = inkText
	p.Y.Min, p.Y.Max = -0.7, b.pitch()*float64(len(q.places)-1)+float64(len(b.series)-1)+0.7
	p.Add(b)
	height := vg.Length((p.Y.Max-p.Y.Min)*barHeight) + 46
	return render(p, height, label)
}

// words is the name of a metric in running text.
func words(metric string) string { return strings.ReplaceAll(metric, "_", " ") }

// canvas is the figure that c is a part of.
func canvas(c draw.Canvas) *svg {
	for {
		switch inner := c.Canvas.(type) {
		case *svg:
			return inner
		case draw.Canvas:
			c = inner
		default:
			panic(fmt.Sprintf("a plot draws on a %T", inner))
		}
	}
}
