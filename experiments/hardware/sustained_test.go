package hardware

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
)

func TestSustained(t *testing.T) {
	root, _ := labtest.StreamRoot(t)
	s := sustainedSettings{Context: 64, Windows: 4, Seconds: 0.05, Warmups: 1, Seed: 1}
	o, err := runSustained(t.Context(), labtest.NewJob(t, SustainedExperiment(), root), s)
	if err != nil {
		t.Fatal(err)
	}
	labtest.CheckOutcome(t, SustainedExperiment(), o)
	for _, end := range []string{"0.05", "0.1", "0.15", "0.2"} {
		if m := labtest.Find(t, o, result.Paper, "tokens_per_second", result.Labels{windowLabel: end}); m.Mean <= 0 ||
			m.N < 1 {
			t.Errorf("%+v", m)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := runSustained(ctx, labtest.NewJob(t, SustainedExperiment(), root), s); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped run gave %v", err)
	}
}

func TestSlowdown(t *testing.T) {
	windows := func(rates ...float64) (w []loadWindow) {
		for i, r := range rates {
			w = append(w, loadWindow{End: float64(5 * (i + 1)), Passes: []float64{100 / r, 100 / r}})
		}
		return w
	}
	// A straight line from 1000 to 700 loses 30% of where it began, 300 of the mean of 850; of the trend there is no
	// doubt.
	all := slowdowns(windows(1000, 900, 800, 700), 100)
	if math.Abs(all[0].Mean-0.3) > 1e-9 || math.Abs(all[1].Mean-300./850) > 1e-9 ||
		all[1].Interval.High-all[1].Interval.Low > 1e-6 {
		t.Errorf("%+v", all)
	}
	// One slow last window is 30% for the paper; the trend is uncertain.
	all = slowdowns(windows(1000, 1000, 1000, 1000, 1000, 1000, 700), 100)
	if i := all[1].Interval; math.Abs(all[0].Mean-0.3) > 1e-9 || i.Low > 0 || i.High < 0 {
		t.Errorf("%+v %+v", all, i)
	}
	if all = slowdowns(windows(1000, 900), 100); len(all) != 1 {
		t.Errorf("a trend of two windows: %+v", all)
	}
}
