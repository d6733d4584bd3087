package eviction

import (
	"context"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
)

func TestMicrobench(t *testing.T) {
	s := microbenchSettings{
		Policies: []string{"baee", "baee_salience", "fifo", "expected_attention"}, Sizes: []int{16, 64}, Warmups: 1, Timed: 3,
		Context: 64, Chunk: 16, Entries: 4, Pairs: 2, PaperSamples: 3, StrictSamples: 4, Needles: 16, TargetSeed: 12345,
		PaperStream: 64, StrictStream: 128,
	}
	// What is timed, and the memory of the process, differ from run to run.
	timeless := func(m result.Measurement) bool { return m.Metric == "precision" || m.Metric == "recall" }
	root, _ := labtest.StreamRoot(t)
	o := labtest.CheckRuns(t, MicrobenchExperiment(), root,
		func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) { return runMicrobench(ctx, j, s) }, timeless)
	for _, m := range o.Measurements {
		if m.Metric == "eviction_time" && m.Mean <= 0 {
			t.Errorf("an eviction took no time: %+v", m)
		}
	}
	for _, protocol := range []string{result.Paper, result.Strict} {
		all := labtest.Find(t, o, protocol, "recall",
			result.Labels{result.PolicyLabel: result.Unbounded, result.ContextLabel: "64"}).Mean
		for _, name := range []string{"baee_salience", "fifo"} {
			if got := labtest.Find(t, o, protocol, "recall",
				result.Labels{result.PolicyLabel: name, result.ContextLabel: "64"}).Mean; got > all {
				t.Errorf("%s: %s holds %g of the target, a memory that evicts nothing %g", protocol, name, got, all)
			}
		}
	}
}

// The published rule takes the token before a key for the target, ours the value behind it.
func TestCountHeld(t *testing.T) {
	for protocol, want := range map[baee.Protocol]heldFacts{
		baee.Paper:  {Entries: 4, Target: 2, Facts: 1, Written: 2},
		baee.Strict: {Entries: 4, Target: 3, Facts: 2, Written: 2},
	} {
		m, err := baee.New(baee.Config{Dim: 2, Layers: 1, Slots: 4, Policy: "fifo", Protocol: protocol, EntriesPerLayer: 8,
			Window: 1})
		if err != nil {
			t.Fatal(err)
		}
		even := []float32{.25, .25, .25, .25}
		if err := m.Update(0, baee.Read{
			Bank: make([]float32, 8), Positions: []int64{9, 10, 11, 21}, Salience: even, Queries: 1, WindowQueries: 1, All: even,
			Window: even, Last: even,
		}); err != nil {
			t.Fatal(err)
		}
		if got := countHeld(m, protocol, []int{10, 20}); got != want {
			t.Errorf("%s: %+v, want %+v", protocol, got, want)
		}
	}
}
