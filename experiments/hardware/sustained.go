package hardware

import (
	"context"
	"math"
	"strconv"
	"time"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
)

// sustainedSettings are those of the throughput under continuous load.
type sustainedSettings struct {
	Context int     `json:"context"` // tokens
	Windows int     `json:"windows"`
	Seconds float64 `json:"seconds"` // of a window
	Warmups int     `json:"warmups"` // passes
	Seed    uint64  `json:"seed"`    // of the tokens
}

// loadWindow is a part of the time under load.
type loadWindow struct {
	End    float64   `json:"end_seconds"` // since the start of the first one
	Passes []float64 `json:"passes"`      // seconds of each
	RSS    uint64    `json:"rss_bytes"`   // at its end; 0 if the system does not tell
}

// windowLabel is the nominal end of a window in seconds.
const windowLabel = "seconds"

// SustainedExperiment measures the throughput under continuous load.
func SustainedExperiment() lab.Experiment {
	return lab.Describe(descriptions, "sustained", sustainedSettings{}, runSustained)
}

// runSustained keeps the CPU busy. It does not continue after a stop: the load has to be without a pause.
func runSustained(ctx context.Context, j *lab.Job, s sustainedSettings) (*lab.Outcome, error) {
	m, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	f, err := measure.NewForward(m, s.Context, s.Seed)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for range s.Warmups {
		if _, err := f.Run(ctx); err != nil {
			return nil, err
		}
	}
	j.Progress(0, s.Windows)
	windows, err := load(ctx, f, j, s)
	if err != nil {
		return nil, err
	}
	o := &lab.Outcome{Seeds: []uint64{s.Seed}, Details: windows, Unpublished: !m.Config.Equal(layers.Reference())}
	for i, w := range windows {
		l := result.Labels{windowLabel: strconv.FormatFloat(float64(i+1)*s.Seconds, 'g', -1, 32)}
		o.Measurements = append(o.Measurements, w.rate(s.Context, l))
		if w.RSS > 0 {
			o.Measurements = append(o.Measurements, result.ExactOf(l, result.Strict, "rss", "bytes", float64(w.RSS)))
		}
	}
	o.Measurements = append(o.Measurements, slowdowns(windows, s.Context)...)
	return o, nil
}

// load runs all windows.
func load(ctx context.Context, f *measure.Forward, j *lab.Job, s sustainedSettings) (windows []loadWindow, err error) {
	start := time.Now()
	for i := range s.Windows {
		var w loadWindow
		for begin := time.Now(); time.Since(begin).Seconds() < s.Seconds; {
			took, err := f.Run(ctx)
			if err != nil {
				return nil, err
			}
			w.Passes = append(w.Passes, took.Seconds())
		}
		w.End = time.Since(start).Seconds()
		w.RSS, _ = host.CurrentRSS() // 0 where it cannot be read
		windows = append(windows, w)
		j.Line("%.0f s: %.0f tokens/s", w.End, w.mean(s.Context))
		j.Progress(i+1, s.Windows)
	}
	return windows, nil
}

// mean is the window's throughput.
func (w loadWindow) mean(tokens int) float64 {
	sum := 0.
	for _, x := range w.Passes {
		sum += x
	}
	return float64(len(w.Passes)*tokens) / sum
}

// rate is the window's throughput with the interval over its passes.
func (w loadWindow) rate(tokens int, l result.Labels) result.Measurement {
	var rates []float64
	for _, x := range w.Passes {
		rates = append(rates, float64(tokens)/x)
	}
	_, std := result.MeanAndStd(rates)
	return result.Measurement{
		Labels: l, Protocol: result.Paper, Metric: "tokens_per_second", Unit: "tokens/s", N: len(rates), Mean: w.mean(tokens),
		Std: std,
		Interval: result.Bootstrap(len(rates), func(at []int) float64 {
			sum := 0.
			for _, i := range at {
				sum += w.Passes[i]
			}
			return float64(len(at)*tokens) / sum
		}),
		Note: "standard deviation over the passes of the window",
	}
}

// slowdowns are the share of the throughput that was lost in the end, by both protocols.
func slowdowns(windows []loadWindow, tokens int) []result.Measurement {
	l := result.Labels{result.ContextLabel: result.ContextOf(tokens)}
	var ends, rates []float64
	for _, w := range windows {
		ends, rates = append(ends, w.End), append(rates, w.mean(tokens))
	}
	last := len(rates) - 1
	first := result.ExactOf(l, result.Paper, "slowdown", "1", 1-rates[last]/rates[0])
	if len(rates) < 3 { // no line has an error
		return []result.Measurement{first}
	}
	base, slope := stat.LinearRegression(ends, rates, nil, false)
	span, mean := ends[last]-ends[0], stat.Mean(rates, nil)
	trend := result.ExactOf(l, result.Strict, "slowdown", "1", -slope*span/mean)
	trend.N = len(rates)
	var residuals, spread float64
	center := stat.Mean(ends, nil)
	for i, t := range ends {
		off := rates[i] - base - slope*t
		residuals, spread = residuals+off*off, spread+(t-center)*(t-center)
	}
	freedom := float64(len(rates) - 2)
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Quantile(0.975) * math.Sqrt(
		residuals/freedom/spread) * span / mean
	trend.Interval = &result.Interval{Low: trend.Mean - half, High: trend.Mean + half, Method: "t"}
	return []result.Measurement{first, trend}
}
