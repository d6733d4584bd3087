package eviction

import (
	"context"
	"fmt"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// pressureSettings are those of the memory-pressure experiment.
type pressureSettings struct {
	Policies []string `json:"policies"`
	Tiered   []string `json:"tiered"`   // those that run in tiers, too
	Contexts []int    `json:"contexts"` // tokens
	Samples  int      `json:"samples"`
	Needles  int      `json:"needles"` // keys with a fact in a sample
	Chunk    int      `json:"chunk"`   // tokens
	Budget   float64  `json:"budget"`
	Seed     uint64   `json:"seed"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// MemoryPressureExperiment evaluates policies where much more is written than fits.
func MemoryPressureExperiment() lab.Experiment {
	return lab.Describe(descriptions, "memory-pressure", pressureSettings{Policies: Policies()}, runMemoryPressure)
}

// runMemoryPressure is a row of the retention grid with a sample count and seed of its own.
func runMemoryPressure(ctx context.Context, j *lab.Job, s pressureSettings) (*lab.Outcome, error) {
	g, err := newGrid(j, s.grid(), tasks.MemoryPressure)
	if err != nil {
		return nil, err
	}
	cases := g.cases()
	done, err := lab.NewCells[[]GridCell](j, len(cases))
	if err != nil {
		return nil, err
	}
	name := func(k GridCase) string { return fmt.Sprintf("%s-%d", k.Protocol, k.Context) }
	var todo []missing
	for _, k := range cases {
		if _, ok := done.Done[name(k)]; !ok {
			todo = append(todo, missing{k, s.memories(g, k.Protocol)})
		}
	}
	done.Outcome = func() (*lab.Outcome, error) {
		o := &lab.Outcome{Seeds: []uint64{s.Seed}}
		for _, k := range cases {
			of := done.Done[name(k)]
			for _, c := range of {
				o.Measurements = append(o.Measurements, pressureMeasurements(c)...)
			}
			more, err := g.pressureDifferences(of)
			if err != nil {
				return nil, err
			}
			if len(more) > 0 {
				o.Measurements, o.Notes = append(o.Measurements, more...), []string{result.PairedNote}
			}
			if len(of) == 0 {
				continue
			}
			p, err := tasks.Chance(pressureTask, g.params(g.base.Config, k))
			if err != nil {
				return nil, err
			}
			o.Measurements = append(o.Measurements, result.Measurement{
				Labels:   result.Labels{result.PolicyLabel: result.Guessing, result.ContextLabel: result.ContextOf(k.Context)},
				Protocol: string(k.Protocol), Metric: "accuracy", Unit: "1", N: s.Samples, Mean: p,
			})
		}
		return o, nil
	}
	err = g.parallel(ctx, todo, func(cells []GridCell) error {
		k := cells[0].GridCase
		j.Line("%s, %d tokens: %d policies, %d entries a layer", k.Protocol, k.Context, len(cells), cells[0].EntriesALayer)
		return done.Put(name(k), cells)
	})
	if err != nil {
		return nil, err
	}
	return done.Finish()
}

// memories are the policies of a protocol, and those in tiers: they are strict, for the paper never ran its tiers.
func (s pressureSettings) memories(g *grid, protocol baee.Protocol) []string {
	all := g.policies(protocol)
	if protocol == baee.Strict {
		for _, name := range s.Tiered {
			all = append(all, name+inTiers)
		}
	}
	return all
}

// pressureDifferences are those of each policy of a case to ours on the same samples.
func (g *grid) pressureDifferences(cells []GridCell) (all []result.Measurement, err error) {
	for _, c := range cells {
		ours := g.ours(c.Protocol)
		at := find(cells, ours)
		if at < 0 || c.Policy == ours {
			continue
		}
		l := result.Labels{result.PolicyLabel: c.Policy, result.ContextLabel: result.ContextOf(c.Context)}
		more, err := pooled{pairs: [][2]GridCell{{c, cells[at]}}}.differences(l, c.Protocol, ours)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// pressureMeasurements are those of a cell.
func pressureMeasurements(c GridCell) []result.Measurement {
	l := result.Labels{result.PolicyLabel: c.Policy, result.ContextLabel: result.ContextOf(c.Context)}
	return []result.Measurement{
		result.Share(l, string(c.Protocol), "retention", c.Retention.Accuracy),
		result.Share(l, string(c.Protocol), "accuracy", c.Accuracy.Accuracy),
		{Labels: l, Protocol: string(c.Protocol), Metric: "rows", Unit: "1", N: c.Retention.N, Mean: c.Rows},
		{Labels: l, Protocol: string(c.Protocol), Metric: "store_bytes", Unit: "bytes", N: c.Retention.N, Mean: c.Bytes},
	}
}
