package hardware

import (
	"context"
	"time"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// energySettings are those of the energy by token.
type energySettings struct {
	Contexts    []int   `json:"contexts"` // tokens
	Seconds     float64 `json:"seconds"`  // of a measurement
	Repetitions int     `json:"repetitions"`
	// PaperWatts is the published assumption. AssumedWatts is the power of the CPU at full load, where the system tells
	// none.
	PaperWatts   float64 `json:"paper_watts"`
	AssumedWatts float64 `json:"assumed_watts"`
	Seed         uint64  `json:"seed"` // of the tokens
}

// energyRun is one measurement.
type energyRun struct {
	Source  string  `json:"source"`
	Tokens  int     `json:"tokens"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Joules  float64 `json:"joules"`
}

// sourceLabel says where the energy of a measurement is from; paperSource is that of the paper.
const (
	sourceLabel = "source"
	paperSource = "constant power"
)

// EnergyExperiment measures the energy by token.
func EnergyExperiment() lab.Experiment {
	return lab.Describe(descriptions, "energy", energySettings{}, runEnergy)
}

// runEnergy measures in turn at each context.
func runEnergy(ctx context.Context, j *lab.Job, s energySettings) (*lab.Outcome, error) {
	m, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	contexts := measure.FittingContexts(s.Contexts, m.Config)
	meter := measure.NewPowerMeter(measure.Powercap, s.AssumedWatts)
	done, err := repeatedCells(j, contexts, s.Repetitions,
		lab.Outcome{Seeds: []uint64{s.Seed}, Notes: []string{"strict: " + meter.Describe()},
			Unpublished: !m.Config.Equal(layers.Reference())},
		func(t int, runs []energyRun) []result.Measurement { return energyMeasurements(s, t, runs) })
	if err != nil {
		return nil, err
	}
	// A run that continues on a system that tells more, or less, begins anew: energies of two sources have no median.
	for _, r := range done.Done {
		if r.Source != meter.Source {
			clear(done.Done)
			break
		}
	}
	for _, t := range contexts {
		f, err := measure.NewForward(m, t, s.Seed)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for i := range s.Repetitions {
			r, err := done.Do(ctx, repetition(t, i), func() (energyRun, error) { return energyOf(ctx, f, meter, s.Seconds) })
			if err != nil {
				return nil, err
			}
			j.Line("%d tokens: %.3g J in %.1f s (%s), %.0f tokens/s", t, r.Joules, r.Seconds, r.Source,
				float64(r.Tokens)/r.Seconds)
		}
	}
	return done.Finish()
}

// energyOf runs passes for the given time.
func energyOf(ctx context.Context, f *measure.Forward, meter measure.PowerMeter, seconds float64) (r energyRun,
	err error) {
	r.Source = meter.Source
	if _, err := f.Run(ctx); err != nil { // touches the memory
		return r, err
	}
	from, err := meter.Read()
	if err != nil {
		return r, err
	}
	for time.Since(from.At).Seconds() < seconds {
		if _, err := f.Run(ctx); err != nil {
			return r, err
		}
		r.Tokens += len(f.IDs)
	}
	to, err := meter.Read()
	if err != nil {
		return r, err
	}
	r.Joules, r.Seconds, r.CPU = meter.Joules(from, to)
	return r, nil
}

// energyMeasurements are those of one context.
func energyMeasurements(s energySettings, tokens int, runs []energyRun) (all []result.Measurement) {
	if len(runs) == 0 {
		return nil
	}
	var rate, constant, energy, power []float64
	for _, r := range runs {
		rate = append(rate, float64(r.Tokens)/r.Seconds)
		constant = append(constant, s.PaperWatts*r.Seconds/float64(r.Tokens))
		energy = append(energy, r.Joules/float64(r.Tokens))
		power = append(power, r.Joules/r.Seconds)
	}
	l := result.Labels{result.ContextLabel: result.ContextOf(tokens), sourceLabel: paperSource}
	watts := result.ExactOf(l, result.Paper, "power", "W", s.PaperWatts)
	watts.Note = "assumed"
	all = []result.Measurement{result.MedianOf(l, result.Paper, "energy_per_token", "J/token", constant), watts,
		result.MedianOf(l, result.Paper, "tokens_per_second", "tokens/s", rate)}
	l = result.With(l, sourceLabel, runs[0].Source)
	return append(all, result.MedianOf(l, result.Strict, "energy_per_token", "J/token", energy),
		result.MedianOf(l, result.Strict, "power", "W", power),
		result.MedianOf(l, result.Strict, "tokens_per_second", "tokens/s", rate))
}
