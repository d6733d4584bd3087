package eviction

import (
	"context"
	"fmt"
	"time"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/results/published"
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
	full := pressureSettings{Policies: Policies(), Tiered: []string{"baee", "baee_salience"}, Contexts: []int{1024, 2048},
		Samples: 64, Needles: 16, Chunk: 512, Budget: 0.1, Seed: 2025}
	quick := full
	quick.Contexts, quick.Samples, quick.Chunk, quick.Needles = []int{128, 256}, 8, 64, 8
	return lab.Define(lab.Experiment{
		Name: "memory-pressure", Folder: "baee", Title: "Memory pressure: 16 facts, room for a tenth",
		Source: "Section 4, exp_baee_memory_pressure.json",
		Covers: []string{"Budget-Aware Episodic Eviction: budget enforcement",
			"Budget-Aware Episodic Eviction: vs FIFO / LRU", "Ablations: eviction policy"},
		Needs:    []string{"pretrain", "baee-train"},
		Version:  2, // version 1 had no memories in tiers
		Estimate: lab.Durations{lab.Quick: 10 * time.Second, lab.Full: 6 * time.Minute},
		Views: []lab.View{
			{Title: "Target still held at the end of the stream", Metric: "retention", Rows: []string{result.PolicyLabel},
				Column: result.ContextLabel,
				Figure: &lab.Figure{Kind: "bar", X: result.PolicyLabel, Series: result.ContextLabel}},
			{Title: "Answers right", Metric: "accuracy", Rows: []string{result.PolicyLabel}, Column: result.ContextLabel},
			{Title: "Rows held at the end, over all layers", Metric: "rows", Rows: []string{result.PolicyLabel},
				Column: result.ContextLabel},
			{Title: "Bytes of their contents", Metric: "store_bytes", Rows: []string{result.PolicyLabel},
				Column: result.ContextLabel},
		},
		Says: "Retention says whether any layer still holds an entry written at a target's key, not whether the model can " +
			"use it: that is the second table, to be read against guessing. The published answers are right in 0 to 6 of 100 " +
			"cases, under every policy. Policies in tiers have the bytes that the others' entries take: in INT8 they keep " +
			"nearly twice as many entries, and low scores only as summaries, which count as lost here. Policy baee was " +
			"trained on which entries carry the answers of the other tasks; its rivals had no labels.",
	}, full, quick, runMemoryPressure)
}

// runMemoryPressure is a row of the retention grid with a sample count and seed of its own.
func runMemoryPressure(ctx context.Context, j *lab.Job, s pressureSettings) (*lab.Outcome, error) {
	g, err := newGrid(j, s.grid(), tasks.MemoryPressure)
	if err != nil {
		return nil, err
	}
	paper := publishedPressure()
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
		o := &lab.Outcome{Seeds: []uint64{s.Seed}, Protocol: gridProtocol +
			". One data seed of our own generator; the target is written 3 times in the first 40%. In tiers: a budget in " +
			"bytes over all layers, that of the others' entries in half precision, with the default thresholds"}
		for _, k := range cases {
			of := done.Done[name(k)]
			for _, c := range of {
				o.Measurements = append(o.Measurements, paper.measurements(c)...)
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

// pressureTable is the published experiment.
type pressureTable struct {
	Experiments []struct {
		Context  int `json:"seq_len"`
		Policies map[string]struct {
			Accuracy  float64 `json:"accuracy"`
			Retention float64 `json:"target_retention_rate"`
		} `json:"policies"`
	} `json:"experiments"`
}

func publishedPressure() pressureTable {
	return published.Must[pressureTable]("exp_baee_memory_pressure.json")
}

// measurements are those of a cell, with the published ones beside the paper protocol's.
func (t pressureTable) measurements(c GridCell) []result.Measurement {
	l := result.Labels{result.PolicyLabel: c.Policy, result.ContextLabel: result.ContextOf(c.Context)}
	retention, accuracy := result.Share(l, string(c.Protocol), "retention", c.Retention.Accuracy),
		result.Share(l, string(c.Protocol), "accuracy", c.Accuracy.Accuracy)
	for _, e := range t.Experiments {
		if p, ok := e.Policies[c.Policy]; ok && e.Context == c.Context && c.Protocol == baee.Paper {
			retention.Published, accuracy.Published = &result.MeanStd{Mean: p.Retention}, &result.MeanStd{Mean: p.Accuracy}
		}
	}
	return []result.Measurement{
		retention, accuracy,
		{Labels: l, Protocol: string(c.Protocol), Metric: "rows", Unit: "1", N: c.Retention.N, Mean: c.Rows},
		{Labels: l, Protocol: string(c.Protocol), Metric: "store_bytes", Unit: "bytes", N: c.Retention.N, Mean: c.Bytes},
	}
}
