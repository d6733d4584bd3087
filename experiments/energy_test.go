package experiments

import (
	"context"
	"math"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

func TestEnergy(t *testing.T) {
	root, _ := hardwareRoot(t)
	s := energySettings{Contexts: []int{16, 64}, Seconds: 0.05, Repetitions: 1, PaperWatts: 15, AssumedWatts: 20, Seed: 1}
	o := checkRuns(t, energyExperiment(), root, func(ctx context.Context, j *Job) (*Outcome, error) {
		return runEnergy(ctx, j, s)
	}, func(m result.Measurement) bool { return m.Protocol == result.Paper && m.Metric == "power" })
	l := labels{contextLabel: "64", sourceLabel: paperSource}
	energy, rate := find(t, o, result.Paper, "energy_per_token", l), find(t, o, result.Paper, "tokens_per_second", l)
	if got := energy.Mean * rate.Mean; math.Abs(got-15) > 1e-9 {
		t.Errorf("%g W, want 15", got)
	}
	meter := newPowerMeter(powercap, s.AssumedWatts)
	power := find(t, o, result.Strict, "power", with(l, sourceLabel, meter.source))
	if power.Mean <= 0 || meter.source == sourceAssumed && power.Mean > 20*1.5 {
		t.Errorf("%+v", power)
	}
}

// A run that was stopped where other counters could be read does not mix two kinds of energy.
func TestEnergyOfAnotherSource(t *testing.T) {
	root, _ := hardwareRoot(t)
	j := newTestJob(t, energyExperiment(), root)
	done, err := newCells[energyRun](j, 2)
	if err != nil {
		t.Fatal(err)
	}
	done.outcome = func() (*Outcome, error) { return &Outcome{}, nil }
	if err := done.put("16-0", energyRun{Source: "a wall meter", Tokens: 1, Seconds: 1, Joules: 1e9}); err != nil {
		t.Fatal(err)
	}
	o, err := runEnergy(t.Context(), j, energySettings{Contexts: []int{16}, Seconds: 0.01, Repetitions: 2, PaperWatts: 15, AssumedWatts: 15})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range o.Measurements {
		if m.Labels[sourceLabel] == "a wall meter" || m.Mean > 1e8 {
			t.Errorf("%+v", m)
		}
	}
}

func TestPublishedEnergies(t *testing.T) {
	paper, err := publishedEnergies(layers.Reference())
	if e := paper[2048]; err != nil || e.Watts != 15 || math.Abs(e.MicrojoulesPerToken-343.18) > 0.01 {
		t.Errorf("%+v (%v)", e, err)
	}
}
