package bridge

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

func TestScaleBridgeRemoval(t *testing.T) {
	s := removalSettings{Seeds: []uint64{42, 43}, Contexts: []int{32, 64}, Samples: 4, Recovery: qat.DefaultFinetune()}
	s.Recovery.Steps, s.Recovery.Context, s.Recovery.Batch = 2, 32, 2
	e := RemovalExperiment() // without the view of a gap: the small model knows nothing that it could lose
	e.Views = slices.DeleteFunc(e.Views, func(v lab.View) bool { return v.Metric == "regained" })
	o := labtest.CheckRuns(t, e, labtest.SuiteRoot(t),
		func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
			return runScaleBridgeRemoval(ctx, j, s)
		}, labtest.Always)
	// Protocols, contexts, metrics; variants, guessing and a difference.
	if want := 2 * 2 * 3 * 4; len(o.Measurements) != want {
		t.Errorf("%d measurements, want %d", len(o.Measurements), want)
	}
	l := result.Labels{result.TaskLabel: measure.MetricSingle, result.ContextLabel: "64"}
	accuracy := func(variant string) float64 {
		return labtest.Find(t, o, result.Strict, "accuracy", result.With(l, result.VariantLabel, variant)).Mean
	}
	d := labtest.Find(t, o, result.Strict, "difference",
		result.With(result.With(l, result.VariantLabel, noBridge), result.AgainstLabel, withBridge))
	if want := accuracy(noBridge) - accuracy(withBridge); d.N != 8 || math.Abs(d.Mean-want) > 1e-9 {
		t.Errorf("difference %+v, want %g of 8 samples", d, want)
	}
}

// The identity in place of a bridge is what a model without bridges computes from the same weights.
func TestWithoutBridge(t *testing.T) {
	c := layers.Reference()
	c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses, c.EpisodicSlots = 8, 2, 2, 64, 32, 16, 4
	m, err := layers.NewModel(c, 3)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := withoutBridge(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range m.Blocks {
		b.Bridge = nil
	}
	var logits [2][]float32
	for i, m := range []*layers.Model{m, bare} {
		f, err := m.Infer(1, 16, 0)
		if err != nil {
			t.Fatal(err)
		}
		if logits[i], err = f.Run([]int32{1, 7, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 4, 3}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, x := range logits[0] {
		if logits[1][i] != x {
			t.Fatalf("logit %d is %g, want %g", i, logits[1][i], x)
		}
	}
}

// smallScratch trains models of a few thousand parameters for a few steps.
func smallScratch() scratchSettings {
	s := ScratchExperiment().Settings(lab.Quick).(scratchSettings)
	s.Seeds = []uint64{1, 2}
	for _, c := range []*layers.Config{&s.Paper.Model, &s.Strict.Model} {
		c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses, c.EpisodicSlots = 8, 1, 2, 64, 64, 16, 4
	}
	p, q := &s.Paper, &s.Strict
	p.Context, p.Samples, p.Steps, p.Batch, p.Contexts, p.Held = 32, 40, 12, 4, []int{32, 64}, 8
	q.Short, q.Opening, q.Context, q.Batch, q.Warmup, q.Every = 24, 2, 32, 4, 3, 4
	q.Patience, q.Most, q.Cooldown, q.Held, q.Contexts, q.Final = 2, 20, 4, 16, []int{32}, 16
	return s
}

func TestScaleBridgeFromScratch(t *testing.T) {
	s := smallScratch()
	o := labtest.CheckRuns(t, ScratchExperiment(), t.TempDir(),
		func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
			return runScaleBridgeScratch(ctx, j, s)
		}, labtest.Always)
	count := func(variant string) float64 {
		return labtest.Find(t, o, result.Strict, "parameters", result.Labels{result.VariantLabel: variant}).Mean
	}
	if bare, matched := count(noBridge), count(matchedBridge); bare >= count(withBridge) ||
		math.Abs(matched/count(withBridge)-1) > 0.02 {
		t.Errorf("%g parameters with, %g without, %g matched", count(withBridge), bare, matched)
	}
	steps := labtest.Find(t, o, result.Strict, "steps", result.Labels{result.VariantLabel: withBridge})
	if steps.Mean < 2+4+4 || steps.Mean > 20+4 || !strings.Contains(steps.Note, "of 2 trainings") {
		t.Errorf("steps %+v", steps)
	}
	p := labtest.Find(t, o, result.Strict, "permutation_p", result.Labels{
		result.AgainstLabel: anyWithout, result.TaskLabel: "multi_task", result.ContextLabel: "32"})
	if p.N != 2+2*2 || p.Mean < 1.0/15 || p.Mean > 1 { // two seeds with and four models without: 15 ways
		t.Errorf("permutations %+v", p)
	}
}

// The published configuration has the published numbers of parameters.
func TestPublishedScratchParameters(t *testing.T) {
	c := ScratchExperiment().Settings(lab.Full).(scratchSettings).Paper.Model
	if got := c.Parameters(); got != 2282788 {
		t.Errorf("%d parameters with the bridge, want 2,282,788", got)
	}
	bare := c
	bare.UseScaleBridge = false
	if got := bare.Parameters(); got != 1688356 {
		t.Errorf("%d parameters without, want 1,688,356", got)
	}
	if got := matchedWithoutBridge(c).Parameters(); math.Abs(float64(got)/2282788-1) > 0.001 {
		t.Errorf("%d parameters matched, want 2,282,788 within a thousandth", got)
	}
}

func TestPlateau(t *testing.T) {
	p := plateau{rise: 0.01, patience: 2}
	for i, x := range []float64{0.1, 0.105, 0.2, 0.2, 0.25, 0.25} {
		if p.seen(x) {
			t.Errorf("it has stopped rising at value %d", i)
		}
	}
	if !p.seen(0.255) {
		t.Error("two values without a rise are none")
	}
}

// What further training without the bridge wins back is told of a gap alone, and of its own task and context.
func TestRegained(t *testing.T) {
	var all []result.Measurement
	add := func(protocol, variant, task string, correct int) {
		l := result.Labels{result.VariantLabel: variant, result.TaskLabel: task, result.ContextLabel: "1024"}
		all = append(all, result.Share(l, protocol, "accuracy", curriculum.NewAccuracy(correct, 100)))
	}
	for _, task := range []string{"easy", "guessed"} {
		add(result.Paper, withBridge, task, 90)
		add(result.Paper, noBridge, task, 10)
	}
	add(result.Strict, withBridge, "easy", 90)
	add(result.Strict, noBridge, "easy", 50)
	add(result.Strict, withBridge, "guessed", 15)
	add(result.Strict, noBridge, "guessed", 50)
	got := regained(all)
	if len(got) != 1 || got[0].Labels[result.TaskLabel] != "easy" || math.Abs(got[0].Mean-0.5) > 1e-12 || got[0].N != 100 {
		t.Errorf("%+v", got)
	}
}
