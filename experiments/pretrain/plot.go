package pretrain

import (
	"bytes"
	"image/color"
	"io"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
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
	plotHeight = 16 * vg.Centimeter
)

// Plot draws the loss, and the accuracy by task after each epoch, to curves.svg and curves.png.
func Plot(r *Result, dir string) error {
	loss, err := lossPlot(r)
	if err != nil {
		return err
	}
	accuracy, err := accuracyPlot(r)
	if err != nil {
		return err
	}
	svg := vgsvg.New(plotWidth, plotHeight)
	png := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(150))}
	for _, c := range []struct {
		name   string
		canvas interface {
			vg.CanvasSizer
			io.WriterTo
		}
	}{{lab.CurvesSVG, svg}, {lab.CurvesPNG, png}} {
		for i, row := range plot.Align([][]*plot.Plot{{loss}, {accuracy}},
			draw.Tiles{Rows: 2, Cols: 1, PadY: 4 * vg.Millimeter}, draw.New(c.canvas)) {
			[]*plot.Plot{loss, accuracy}[i].Draw(row[0])
		}
		var b bytes.Buffer
		if _, err := c.canvas.WriteTo(&b); err != nil {
			return err
		}
		path := filepath.Join(dir, c.name)
		if err := files.Write(path, b.Bytes()); err != nil {
			return err
		}
	}
	return nil
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
	p.Add(plotter.NewGrid())
	return p
}

// lossPlot shows the loss of every batch and its mean over 51 batches.
func lossPlot(r *Result) (*plot.Plot, error) {
	p := newPlot("Training loss", "cross-entropy (nats)")
	steps := r.History.Steps
	raw, smooth := make(plotter.XYs, len(steps)), make(plotter.XYs, len(steps))
	const half = 25
	for i, s := range steps {
		raw[i] = plotter.XY{X: float64(s.Step), Y: s.Loss}
		from, to := max(0, i-half), min(len(steps), i+half+1)
		var sum float64
		for _, t := range steps[from:to] {
			sum += t.Loss
		}
		smooth[i] = plotter.XY{X: float64(s.Step), Y: sum / float64(to-from)}
	}
	for i, xy := range []plotter.XYs{raw, smooth} {
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

// accuracyPlot shows each task's accuracy with its 95% interval, and the published ones for the reference recipe.
func accuracyPlot(r *Result) (*plot.Plot, error) {
	p := newPlot("Accuracy on held-out samples, 95% intervals; crosses, if any: published", "accuracy")
	p.Legend.Left = true
	evals := r.History.Evaluations
	last := evals[len(evals)-1]
	for i, task := range append([]string{"overall"}, last.Tasks()...) {
		points := &intervals{}
		for _, e := range evals {
			a := e.Overall
			if task != "overall" {
				a = e.PerTask[task]
			}
			points.add(float64(e.Step)+float64(8*(i-2)), a) // beside each other, not over each other
		}
		line, err := plotter.NewLine(points.XYs)
		if err != nil {
			return nil, err
		}
		bars, err := plotter.NewYErrorBars(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width, bars.Color = palette[i%len(palette)], vg.Points(1.2), palette[i%len(palette)]
		p.Add(line, bars)
		p.Legend.Add(task, line)
		for _, m := range r.Final {
			if m.Published == nil || m.Labels[result.TaskLabel] != task {
				continue
			}
			mark, err := plotter.NewScatter(plotter.XYs{{X: float64(last.Step) + float64(8*(i-2)), Y: m.Published.Mean}})
			if err != nil {
				return nil, err
			}
			mark.Shape, mark.Color, mark.Radius = draw.CrossGlyph{}, palette[i%len(palette)], vg.Points(4)
			p.Add(mark)
		}
	}
	p.X.Min, p.Y.Min, p.Y.Max = 0, 0, 1
	return p, nil
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
