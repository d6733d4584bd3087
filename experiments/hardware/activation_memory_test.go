package hardware

import (
	"context"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
)

func TestActivationMemory(t *testing.T) {
	root, m := labtest.StreamRoot(t)
	s := activationSettings{Contexts: []int{16, 32, 64, 128}, Processes: 2, Passes: 1, Seed: 1}
	o := labtest.CheckRuns(t, ActivationMemoryExperiment(), root,
		func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
			return runActivationMemory(ctx, j, s)
		}, func(m result.Measurement) bool { return m.Metric == "activation_bytes" })
	var before [2]float64
	for _, tokens := range []int{16, 32, 64} { // the model has no 128 positions
		l := result.Labels{result.ContextLabel: result.ContextOf(tokens)}
		paper, strict := labtest.Find(t, o, result.Paper, "activation_bytes", l),
			labtest.Find(t, o, result.Strict, "activation_bytes", l)
		if paper.Mean <= before[0] || strict.Mean <= before[1] {
			t.Errorf("%d tokens: %g and %g bytes, fewer tokens took %v", tokens, paper.Mean, strict.Mean, before)
		}
		before = [2]float64{paper.Mean, strict.Mean}
		if plan, err := m.PlanInfer(1, tokens, 0); err != nil || strict.Mean != float64(plan.Arena) {
			t.Errorf("%d tokens: %g bytes allocated, %d planned (%v)", tokens, strict.Mean, plan.Arena, err)
		}
		if _, err := host.CurrentRSS(); err != nil {
			continue
		}
		// The process grows by what it allocates at least, up to some pages that were there before.
		growth, peak := labtest.Find(t, o, result.Strict, "rss_growth", l),
			labtest.Find(t, o, result.Strict, "peak_rss_growth", l)
		if growth.N != s.Processes || peak.Mean < growth.Mean {
			t.Errorf("%d tokens: %+v, %+v", tokens, growth, peak)
		}
	}
}

// The published figures are sums of module outputs, byte for byte.
func TestModuleOutputsAreThePublishedOnes(t *testing.T) {
	e := ActivationMemoryExperiment()
	for _, tokens := range e.Settings(lab.Full).(activationSettings).Contexts {
		o := &lab.Outcome{Measurements: activationMeasurements(layers.Reference(), tokens, nil)}
		if m := e.WithPublished(o)[0]; m.Published == nil || m.Mean != m.Published.Mean {
			t.Errorf("%d tokens: %.0f bytes, published are %+v", tokens, m.Mean, m.Published)
		}
	}
}
