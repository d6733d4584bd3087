package hardware

import (
	"context"
	"math"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
)

func TestEnergy(t *testing.T) {
	root, _ := labtest.StreamRoot(t)
	s := energySettings{Contexts: []int{16, 64}, Seconds: 0.05, Repetitions: 1, PaperWatts: 15, AssumedWatts: 20, Seed: 1}
	o := labtest.CheckRuns(t, EnergyExperiment(), root, func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
		return runEnergy(ctx, j, s)
	}, func(m result.Measurement) bool { return m.Protocol == result.Paper && m.Metric == "power" })
	l := result.Labels{result.ContextLabel: "64", sourceLabel: paperSource}
	energy, rate := labtest.Find(t, o, result.Paper, "energy_per_token", l),
		labtest.Find(t, o, result.Paper, "tokens_per_second", l)
	if got := energy.Mean * rate.Mean; math.Abs(got-15) > 1e-9 {
		t.Errorf("%g W, want 15", got)
	}
	meter := measure.NewPowerMeter(measure.Powercap, s.AssumedWatts)
	power := labtest.Find(t, o, result.Strict, "power", result.With(l, sourceLabel, meter.Source))
	if power.Mean <= 0 || meter.Source == measure.SourceAssumed && power.Mean > 20*1.5 {
		t.Errorf("%+v", power)
	}
}

// A run that was stopped where other counters could be read does not mix two kinds of energy.
func TestEnergyOfAnotherSource(t *testing.T) {
	root, _ := labtest.StreamRoot(t)
	j := labtest.NewJob(t, EnergyExperiment(), root)
	done, err := lab.NewCells[energyRun](j, 2)
	if err != nil {
		t.Fatal(err)
	}
	done.Outcome = func() (*lab.Outcome, error) { return &lab.Outcome{}, nil }
	if err := done.Put("16-0", energyRun{Source: "a wall meter", Tokens: 1, Seconds: 1, Joules: 1e9}); err != nil {
		t.Fatal(err)
	}
	o, err := runEnergy(t.Context(), j,
		energySettings{Contexts: []int{16}, Seconds: 0.01, Repetitions: 2, PaperWatts: 15, AssumedWatts: 15})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range o.Measurements {
		if m.Labels[sourceLabel] == "a wall meter" || m.Mean > 1e8 {
			t.Errorf("%+v", m)
		}
	}
}
