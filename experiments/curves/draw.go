package curves

import (
	"fmt"
	"image/color"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
)

// Colours that are told apart by people with any colour vision (Okabe and Ito 2008).
var palette = []color.Color{
	color.RGBA{0x00, 0x72, 0xB2, 0xFF}, // blue
	color.RGBA{0xD5, 0x5E, 0x00, 0xFF}, // vermilion
	color.RGBA{0x00, 0x9E, 0x73, 0xFF}, // green
	color.RGBA{0xCC, 0x79, 0xA7, 0xFF}, // purple
	color.RGBA{0xE6, 0x9F, 0x00, 0xFF}, // orange
}

var pale = color.RGBA{0xB0, 0xC8, 0xD8, 0xFF}

const (
	plotWidth  = 18 * vg.Centimeter
	plotHeight = 8 * vg.Centimeter // of a panel
)

// Figure is a column of panels.
type Figure []*plot.Plot

// Of is the figure of one run: its loss, and its accuracy by task after each evaluation, if there is one.
func Of(r Run) (Figure, error) {
	var f Figure
	err := f.add(lossOf(r))
	if err == nil && len(r.Evaluations) > 0 {
		err = f.add(accuracyOf(r))
	}
	return f, err
}

// Compare is the figure of several runs: Of one, with the learning rate; of more a panel each for the loss, the rate
// and the accuracy of each task, in which every run has its colour.
func Compare(runs ...Run) (f Figure, err error) {
	if len(runs) == 1 {
		if f, err = Of(runs[0]); err != nil {
			return nil, err
		}
		return f, f.add(lines("Learning rate", "rate", runs, rates))
	}
	if err := f.add(lines("Training loss, mean of 51 batches", "cross-entropy (nats)", runs, smoothed)); err != nil {
		return nil, err
	}
	if err := f.add(lines("Learning rate", "rate", runs, rates)); err != nil {
		return nil, err
	}
	for _, task := range tasksOf(runs) {
		if err := f.add(accuracies(task, runs)); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Figure) add(p *plot.Plot, err error) error {
	*f = append(*f, p)
	return err
}

// Formats are the endings of the files that a figure can be drawn to.
var Formats = []string{".svg", ".png", ".html"}

// Write draws the figure in the format of a file's ending.
func (f Figure) Write(w io.Writer, path string, runs ...Run) error {
	height := plotHeight * vg.Length(len(f))
	switch strings.ToLower(filepath.Ext(path)) {
	case ".svg":
		return f.on(vgsvg.New(plotWidth, height), w)
	case ".png":
		return f.on(vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, height), vgimg.UseDPI(150))}, w)
	case ".html":
		return f.page(w, runs)
	}
	return fmt.Errorf("%s: a figure's name must end with %s", path, strings.Join(Formats, ", "))
}

// canvas is what can be drawn on and written.
type canvas interface {
	vg.CanvasSizer
	io.WriterTo
}

// on draws the panels on a canvas, which it writes.
func (f Figure) on(c canvas, w io.Writer) error {
	column := make([][]*plot.Plot, len(f))
	for i, p := range f {
		column[i] = []*plot.Plot{p}
	}
	const pad = 4 * vg.Millimeter
	tiles := draw.Tiles{Rows: len(f), Cols: 1, PadY: pad, PadTop: pad / 2, PadRight: pad}
	for i, row := range plot.Align(column, tiles, draw.New(c)) {
		f[i].Draw(row[0])
	}
	_, err := c.WriteTo(w)
	return err
}

func newPlot(title, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "optimiser step", y
	for _, f := range []*font.Font{
		&p.Title.TextStyle.Font, &p.Legend.TextStyle.Font,
		&p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font,
	} {
		f.Variant = "Sans"
	}
	p.Legend.Top, p.Legend.Padding = true, vg.Millimeter
	p.X.Tick.Marker = plot.TickerFunc(wholeTicks)
	p.Add(plotter.NewGrid())
	return p
}

// wholeTicks are the ticks of steps, which have no fractions.
func wholeTicks(least, most float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(least, most)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = strconv.FormatFloat(t.Value, 'f', -1, 64)
		}
	}
	return ticks
}

// smoothed is the mean of the loss over 51 batches.
func smoothed(r Run) plotter.XYs {
	const half = 25
	means := make(plotter.XYs, len(r.Steps))
	for i, s := range r.Steps {
		from, to := max(0, i-half), min(len(r.Steps), i+half+1)
		var sum float64
		for _, t := range r.Steps[from:to] {
			sum += t.Loss
		}
		means[i] = plotter.XY{X: float64(s.Step), Y: sum / float64(to-from)}
	}
	return lab.Thin(means)
}

func rates(r Run) plotter.XYs {
	rates := make(plotter.XYs, len(r.Steps))
	for i, s := range r.Steps {
		rates[i] = plotter.XY{X: float64(s.Step), Y: s.LR}
	}
	return lab.Thin(rates)
}

// lossOf shows the loss of every batch and its mean over 51 batches.
func lossOf(r Run) (*plot.Plot, error) {
	p := newPlot("Training loss", "cross-entropy (nats)")
	raw := make(plotter.XYs, len(r.Steps))
	for i, s := range r.Steps {
		raw[i] = plotter.XY{X: float64(s.Step), Y: s.Loss}
	}
	for i, xy := range []plotter.XYs{lab.Thin(raw), smoothed(r)} {
		line, err := plotter.NewLine(xy)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = pale, vg.Points(0.5)
		name := "batch"
		if i == 1 {
			line.Color, line.Width = palette[0], vg.Points(1.5)
			name = "mean of 51 batches"
		}
		p.Add(line)
		p.Legend.Add(name, line)
	}
	p.X.Min, p.Y.Min = 0, 0
	return p, nil
}

// lines shows a number of each run's steps.
func lines(title, y string, runs []Run, of func(Run) plotter.XYs) (*plot.Plot, error) {
	p := newPlot(title, y)
	for i, r := range runs {
		line, err := plotter.NewLine(of(r))
		if err != nil {
			return nil, err
		}
		style(&line.LineStyle, i)
		p.Add(line)
		if len(runs) > 1 {
			p.Legend.Add(r.Name, line)
		}
	}
	p.X.Min, p.Y.Min = 0, 0
	return p, nil
}

// style gives the i-th of many lines a colour, and dashes where the colours begin again.
func style(s *draw.LineStyle, i int) {
	s.Color, s.Width = palette[i%len(palette)], vg.Points(1.2)
	if again := i / len(palette); again > 0 {
		s.Dashes = []vg.Length{vg.Points(float64(6 / again)), vg.Points(float64(1 + again))}
	}
}

// accuracyOf shows each task's accuracy with its 95% interval, and the published ones, if any.
func accuracyOf(r Run) (*plot.Plot, error) {
	title := "Accuracy on held-out samples, 95% intervals"
	if len(r.Published) > 0 {
		title += "; crosses: published"
	}
	p := newPlot(title, "accuracy")
	p.Legend.Left = true
	last := r.Evaluations[len(r.Evaluations)-1]
	for i, task := range tasksOf([]Run{r}) {
		shift := apart(last.Step, i-2)
		line, err := addAccuracy(p, r, task, i, shift)
		if err != nil {
			return nil, err
		}
		p.Legend.Add(task, line)
		published, ok := r.Published[task]
		if !ok {
			continue
		}
		mark, err := plotter.NewScatter(plotter.XYs{{X: float64(last.Step) + shift, Y: published}})
		if err != nil {
			return nil, err
		}
		mark.Shape, mark.Color, mark.Radius = draw.CrossGlyph{}, palette[i%len(palette)], vg.Points(4)
		p.Add(mark)
	}
	p.X.Min, p.Y.Min, p.Y.Max = 0, 0, 1
	return p, nil
}

// accuracies shows the accuracy of one task in each run.
func accuracies(task string, runs []Run) (*plot.Plot, error) {
	p := newPlot("Accuracy, "+task+", on held-out samples, 95% intervals", "accuracy")
	p.Legend.Left = true
	for i, r := range runs {
		if len(r.Evaluations) == 0 {
			continue
		}
		line, err := addAccuracy(p, r, task, i, apart(r.Evaluations[len(r.Evaluations)-1].Step, i-len(runs)/2))
		if err != nil {
			return nil, err
		}
		p.Legend.Add(r.Name, line)
	}
	p.X.Min, p.Y.Min, p.Y.Max = 0, 0, 1
	return p, nil
}

// apart is how far the i-th of several points at the same step is moved, so that they stand beside each other.
func apart(last, i int) float64 { return float64(last) / 256 * float64(i) }

// addAccuracy draws a task's accuracies in the i-th colour.
func addAccuracy(p *plot.Plot, r Run, task string, i int, shift float64) (*plotter.Line, error) {
	points := &intervals{}
	for _, e := range lab.ThinTo(lab.MostEvaluations, r.Evaluations) {
		if a, ok := accuracy(e, task); ok {
			points.add(float64(e.Step)+shift, a)
		}
	}
	if len(points.XYs) == 0 {
		return &plotter.Line{}, nil // a run without the task
	}
	line, err := plotter.NewLine(points.XYs)
	if err != nil {
		return nil, err
	}
	bars, err := plotter.NewYErrorBars(points)
	if err != nil {
		return nil, err
	}
	style(&line.LineStyle, i)
	bars.Color = line.Color
	p.Add(line, bars)
	return line, nil
}

func accuracy(e Evaluation, task string) (curriculum.Accuracy, bool) {
	if task == curriculum.Overall {
		return e.Overall, true
	}
	a, ok := e.PerTask[task]
	return a, ok
}

// tasksOf are the tasks of the runs' last evaluations, after what they are together.
func tasksOf(runs []Run) []string {
	var tasks []string
	for _, r := range runs {
		if n := len(r.Evaluations); n > 0 {
			tasks = append(tasks, r.Evaluations[n-1].Tasks()...)
		}
	}
	if tasks == nil {
		return nil
	}
	slices.Sort(tasks)
	return append([]string{curriculum.Overall}, slices.Compact(tasks)...)
}

// intervals are points with asymmetric error bars.
type intervals struct {
	plotter.XYs
	plotter.YErrors
}

func (iv *intervals) add(x float64, a curriculum.Accuracy) {
	iv.XYs = append(iv.XYs, plotter.XY{X: x, Y: a.Mean})
	iv.YErrors = append(iv.YErrors, struct{ Low, High float64 }{a.Mean - a.Low, a.High - a.Mean})
}
