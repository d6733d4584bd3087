package qat

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// tinyThreePhase takes some seconds.
func tinyThreePhase() ThreePhaseConfig {
	c := DefaultThreePhase()
	c.Model = tiny()
	c.Context, c.Samples, c.BatchSize, c.EvalSamples = 32, 512, 16, 64
	c.CalibrationBatches = 4
	c.Warmup, c.QAT, c.Cooldown = PhaseConfig{3, 3e-3}, PhaseConfig{3, 2e-3}, PhaseConfig{2, 5e-4}
	c.Quantisation.GroupSize = 16
	return c
}

func runThreePhase(t *testing.T, c ThreePhaseConfig) *ThreePhase {
	t.Helper()
	r, err := NewThreePhase(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// The whole way on a small configuration: the loss falls in each phase, the steps move, none collapses.
func TestThreePhasesEndToEnd(t *testing.T) {
	r := runThreePhase(t, tinyThreePhase())
	if len(r.Steps) != r.TotalSteps() || len(r.Epochs) != 8 {
		t.Fatalf("%d of %d steps, %d epochs", len(r.Steps), r.TotalSteps(), len(r.Epochs))
	}
	first, last := map[string]Epoch{}, map[string]Epoch{}
	for _, e := range r.Epochs {
		t.Logf("%s %d: loss %.4f, lr %.1e, accuracy %.3f, steps %+v", e.Phase, e.Epoch, e.Loss, e.LR, e.Accuracy.Overall.Mean, e.Steps)
		if _, ok := first[e.Phase]; !ok {
			first[e.Phase] = e
		}
		last[e.Phase] = e
	}
	for _, phase := range []string{"warmup", "qat", "cooldown"} {
		if !(last[phase].Loss < first[phase].Loss) {
			t.Errorf("%s: the loss went from %v to %v", phase, first[phase].Loss, last[phase].Loss)
		}
	}
	if s := last["warmup"].Steps; s.Drift != 0 {
		t.Errorf("step sizes drifted in floating point: %+v", s)
	}
	if s := last["cooldown"].Steps; s.Drift == 0 || s.Least < 0.5 || s.Most > 2 {
		t.Errorf("step sizes %+v of the initial ones: they do not move, or collapse", s)
	}
	for _, w := range r.Quantised.Weights {
		if w.Scheme != Scheme2Bit {
			continue
		}
		codes := graph.Quantize2Bit(w.Param.Data(), w.LogStep.Data())
		for level := range uint8(4) {
			if !slices.Contains(codes, level) {
				t.Errorf("%s: level %d of 4 is not used", w.Param.Name, level)
			}
		}
	}
}

func shortThreePhase() ThreePhaseConfig {
	c := tinyThreePhase()
	c.Samples, c.EvalSamples = 40, 8
	c.Warmup.Epochs, c.QAT.Epochs, c.Cooldown.Epochs = 1, 2, 1
	return c
}

// Interrupted in any phase, at its border or within, and continued, a run ends as one that was not.
func TestInterruptedThreePhasesEndAsIfTheyWereNot(t *testing.T) {
	for _, mode := range []string{Int4Train, Int4Frozen} {
		c := shortThreePhase()
		c.Quantisation.Int4Mode = mode
		whole := runThreePhase(t, c)
		perEpoch := len(whole.Steps) / 4
		at := []int{1, perEpoch, perEpoch + 1, 3 * perEpoch}
		if mode == Int4Frozen {
			at = at[2:]
		}
		for _, at := range at {
			path := filepath.Join(t.TempDir(), "c.safetensors")
			r, err := NewThreePhase(c, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.CheckpointPath = path
			ctx, stop := interruptAt(at)
			r.Report = stop
			if err := r.Run(ctx); !errors.Is(err, curriculum.ErrInterrupted) {
				t.Fatalf("at %d: got %v, want an interruption", at, err)
			}
			resumed, err := ResumeThreePhase(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(resumed.Steps) != at {
				t.Errorf("interrupted at step %d, resumed at %d", at, len(resumed.Steps))
			}
			if err := resumed.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(resumed.Steps, whole.Steps) {
				t.Errorf("%s, at %d: the steps differ", mode, at)
			}
			sameParams(t, resumed.Quantised, whole.Quantised)
		}
	}
}

// The auxiliary loss is part of what the quantised phases minimise, weighted with lambda_baee.
func TestAuxiliaryLossTakesPartInTheQuantisedPhases(t *testing.T) {
	c := shortThreePhase()
	plain := runThreePhase(t, c)
	var weights []float64
	r, err := NewThreePhase(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Auxiliary = func(lambda float64) []layers.Term {
		weights = append(weights, lambda)
		return []layers.Term{func(g *graph.Graph, _ layers.Output) *graph.Node { // pulls the head's bias to the norm's
			return graph.Drift(g, lambda, []*graph.Node{g.Param(r.Model.Head.Norm.Beta)}, []*graph.Node{g.Param(r.Model.Head.Norm.Gamma)})
		}}
	}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(weights, []float64{0.1, 0.1}) {
		t.Errorf("weights %v, want lambda_baee once for each quantised phase", weights)
	}
	perEpoch := len(r.Steps) / 4
	if !slices.Equal(r.Steps[:perEpoch], plain.Steps[:perEpoch]) {
		t.Error("the warm-up was changed")
	}
	if s := r.Steps[perEpoch]; s.Terms < 0.05 {
		t.Errorf("the terms of the loss are %v", s.Terms)
	}
}

func TestThreePhasesFromAModel(t *testing.T) {
	c := shortThreePhase()
	base := newModel(t, c.Model)
	before := slices.Clone(base.Head.Out.W.Data())
	r, err := NewThreePhase(c, base)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if prepared(base) || !slices.Equal(base.Head.Out.W.Data(), before) {
		t.Error("the model that the run began with was changed")
	}
	other := tiny()
	other.Depth = 1
	if _, err := NewThreePhase(c, newModel(t, other)); err == nil || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("a model of another configuration: got %v", err)
	}
}

func TestUnsuitableThreePhasesAreRefused(t *testing.T) {
	for _, x := range []struct {
		want string
		set  func(c *ThreePhaseConfig)
	}{
		{"quantisation: group_size is 128", func(c *ThreePhaseConfig) { c.Quantisation.GroupSize = 128 }},
		{"qat.epochs is 0", func(c *ThreePhaseConfig) { c.QAT.Epochs = 0 }},
		{"cooldown.lr is -1", func(c *ThreePhaseConfig) { c.Cooldown.LR = -1 }},
		{"context is 128", func(c *ThreePhaseConfig) { c.Context = 128 }},
		{"calibration_batches is 0", func(c *ThreePhaseConfig) { c.CalibrationBatches = 0 }},
		{"num_classes", func(c *ThreePhaseConfig) { c.Model.NumClasses = 0 }},
	} {
		c := tinyThreePhase()
		x.set(&c)
		if _, err := NewThreePhase(c, nil); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want an error with %q", err, x.want)
		}
	}
}
