package eviction

import (
	"context"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
)

func TestMemoryPressure(t *testing.T) {
	s := pressureSettings{Policies: []string{"baee", "baee_salience", "fifo"}, Tiered: []string{"baee"},
		Contexts: []int{64}, Samples: 4, Needles: 16, Chunk: 16, Budget: 0.1, Seed: 2025}
	root, _ := labtest.StreamRoot(t)
	o := labtest.CheckRuns(t, MemoryPressureExperiment(), root,
		func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
			return runMemoryPressure(ctx, j, s)
		}, labtest.Always)
	if len(o.Measurements) != 4*(2+3+1)+2*(1+3)+2 {
		t.Errorf("%d measurements, want four of 2 policies as published, 3 strict ones and one in tiers, two differences of "+
			"each but ours, and two of guessing", len(o.Measurements))
	}
	kept := func(policy string) float64 {
		return labtest.Find(t, o, result.Strict, "retention",
			result.Labels{result.PolicyLabel: policy, result.ContextLabel: "64"}).Mean
	}
	if d := labtest.Find(t, o, result.Strict, "difference", result.Labels{"of": "retention", result.PolicyLabel: "fifo",
		result.AgainstLabel: "baee", result.ContextLabel: "64"}); d.Mean != kept("fifo")-kept("baee") {
		t.Errorf("%+v, of %g and %g", d, kept("fifo"), kept("baee"))
	}
	// A memory in tiers has the same bytes and holds no more of them.
	bytes := func(policy string) float64 {
		return labtest.Find(t, o, result.Strict, "store_bytes",
			result.Labels{result.PolicyLabel: policy, result.ContextLabel: "64"}).Mean
	}
	if tiers, plain := bytes("baee, tiers"), bytes("baee"); tiers <= 0 || tiers > plain {
		t.Errorf("in tiers %g bytes, without %g", tiers, plain)
	}
	// What is written first is the first to go.
	if m := labtest.Find(t, o, result.Strict, "retention",
		result.Labels{result.PolicyLabel: "fifo", result.ContextLabel: "64"}); m.Mean != 0 {
		t.Errorf("fifo holds %g of the early targets", m.Mean)
	}
}
