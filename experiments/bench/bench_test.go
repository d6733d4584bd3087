package bench

import (
	"context"
	"errors"
	"math"
	"runtime"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/layers"
)

// The figures of a case belong together: the operations are those of layers.Cost, in the median of the repetitions.
func TestBenchCase(t *testing.T) {
	cost := layers.Total(layers.Reference().Costs(16))
	for _, c := range []struct {
		name       string
		operations float64
	}{
		{TrainStep, 2 * (cost.Forward + cost.Backward)},
		{Inference, 2 * cost.Forward},
	} {
		r, err := Case{Name: c.name, Context: 16, Batch: 2, Repetitions: 3}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !(0 < r.SecondsMin && r.SecondsMin <= r.Seconds && r.Seconds <= r.SecondsMax) {
			t.Errorf("%s: median %g, least %g, most %g", c.name, r.Seconds, r.SecondsMin, r.SecondsMax)
		}
		if got := r.GFLOPS * r.Seconds * 1e9; math.Abs(got-c.operations) > 1e-6*c.operations {
			t.Errorf("%s: %g operations, want %g", c.name, got, c.operations)
		}
		if got := r.TokensPerSecond * r.Seconds; math.Abs(got-32) > 1e-6 {
			t.Errorf("%s: %g tokens, want 32", c.name, got)
		}
		if runtime.GOOS == "linux" && r.PeakRSSBytes < 4*8_714_950 {
			t.Errorf("%s: peak memory %d is less than the weights", c.name, r.PeakRSSBytes)
		}
	}
}

func TestBenchCaseErrors(t *testing.T) {
	if _, err := (Case{Name: "nothing", Context: 16, Batch: 1, Repetitions: 1}).Run(t.Context()); err == nil {
		t.Error("a case of no name: no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Case{Name: Inference, Context: 16, Batch: 1, Repetitions: 1}).Run(ctx); !errors.Is(err,
		context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// smallRun is a run that takes no time.
func smallRun() curriculum.Config {
	c := curriculum.Default()
	c.Model.Dim, c.Model.Depth, c.Model.Heads, c.Model.VocabSize, c.Model.MaxLen, c.Model.NumClasses = 8, 1, 2, 64, 64, 16
	c.Curriculum, c.BatchSize = []int{32}, 2
	return c
}

func TestGrowth(t *testing.T) {
	if runtime.GOOS != "linux" {
		if _, err := growth(t.Context(), smallRun(), 3, 12); err == nil {
			t.Error("no error where resident memory cannot be read")
		}
		return
	}
	g, err := growth(t.Context(), smallRun(), 3, 12)
	if err != nil {
		t.Fatal(err)
	}
	if g.Context != 32 || g.Batch != 2 || g.FromStep != 3 || g.ToStep != 12 {
		t.Errorf("%+v", g)
	}
	if g.From < 1<<20 || g.To < 1<<20 || g.Largest < max(g.From, g.To) || g.Change != float64(g.To)/float64(g.From)-1 {
		t.Errorf("%+v", g)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := growth(ctx, smallRun(), 3, 12); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// Growth reads memory at its two steps, and its largest value between them.
func TestGrowthReads(t *testing.T) {
	g := Growth{FromStep: 2, ToStep: 4}
	for step, rss := range []uint64{0, 900, 100, 130, 106, 900} {
		g.read(step, rss)
	}
	if g.From != 100 || g.To != 106 || g.Largest != 130 {
		t.Errorf("%+v", g)
	}
	for change, want := range map[float64]bool{-0.3: true, 0.05: true, 0.051: false} {
		if got := (Growth{Change: change}).Within(); got != want {
			t.Errorf("a change of %g: within %v, want %v", change, got, want)
		}
	}
}
