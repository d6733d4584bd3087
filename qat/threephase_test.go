package qat

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
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
	if len(r.History.Steps) != r.TotalSteps() || len(r.History.Evaluations) != 8 {
		t.Fatalf("%d of %d steps, %d epochs", len(r.History.Steps), r.TotalSteps(), len(r.History.Evaluations))
	}
	first, last := map[string]Epoch{}, map[string]Epoch{}
	for _, e := range r.History.Evaluations {
		t.Logf("%s %d: loss %.4f, lr %.1e, accuracy %.3f, steps %+v", e.Phase, e.Epoch, e.Loss, e.LR, e.Accuracy.Overall.Mean,
			e.Steps)
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
		if w.Fake.Scheme != scheme.SEQ2 {
			continue
		}
		packed, err := w.Pack()
		if err != nil {
			t.Fatal(err)
		}
		row, steps := packed.Floats(), w.Fake.LogStep.Data()
		cols := len(row) / len(steps)
		used := map[float64]bool{}
		for i, v := range row {
			used[math.Round(2*float64(v)/math.Exp(float64(steps[i/cols])))/2] = true
		}
		for _, level := range []float64{-1.5, -0.5, 0.5, 1.5} {
			if !used[level] {
				t.Errorf("%s: level %g is not used", w.Name, level)
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
		perEpoch := len(whole.History.Steps) / 4
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
			r.Hooks.Step = stop
			if err := r.Run(ctx); !errors.Is(err, train.ErrInterrupted) {
				t.Fatalf("at %d: got %v, want an interruption", at, err)
			}
			resumed, err := ResumeThreePhase(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(resumed.History.Steps) != at {
				t.Errorf("interrupted at step %d, resumed at %d", at, len(resumed.History.Steps))
			}
			if err := resumed.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(resumed.History.Steps, whole.History.Steps) {
				t.Errorf("%s, at %d: the steps differ", mode, at)
			}
			sameParams(t, resumed.Quantised, whole.Quantised)
		}
	}
}

// From its first step on a run has a checkpoint to continue from, whenever it is killed and however rarely it saves.
func TestThreePhasesKilledBeforeTheirFirstSaveCanBeContinued(t *testing.T) {
	c := shortThreePhase()
	whole := ended(t, checkpointed(t, c))
	r := checkpointed(t, c)
	at := filepath.Join(t.TempDir(), filepath.Base(r.CheckpointPath))
	r.Hooks.Step = func(Step) {
		for from, to := range map[string]string{r.CheckpointPath: at, metrics.Beside(r.CheckpointPath): metrics.Beside(at)} {
			if _, err := os.Stat(to); err == nil {
				continue // only the first step's
			}
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if ended(t, r) != whole {
		t.Error("a run ends otherwise when it is watched")
	}
	resumed, err := ResumeThreePhase(at)
	if err != nil {
		t.Fatal(err)
	}
	if len(resumed.History.Steps) != 0 || ended(t, resumed) != whole {
		t.Errorf("resumed at step %d, it ends otherwise", len(resumed.History.Steps))
	}
}

// checkpointed is a run that saves to a new directory.
func checkpointed(t *testing.T, c ThreePhaseConfig) *ThreePhase {
	t.Helper()
	r, err := NewThreePhase(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.CheckpointPath = filepath.Join(t.TempDir(), "c.safetensors")
	return r
}

// ended is what a run to the end leaves in its checkpoint and the history beside it.
func ended(t *testing.T, r *ThreePhase) string {
	t.Helper()
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all string
	for _, path := range []string{r.CheckpointPath, metrics.Beside(r.CheckpointPath)} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
	}
	return all
}

// Neither an evaluation nor the calibration keeps a run that was told to stop: they are made when it continues, which
// ends in the same bytes.
func TestThreePhasesInterruptedBetweenStepsEndAsIfTheyWereNot(t *testing.T) {
	for _, warmup := range []int{0, 1} {
		c := shortThreePhase()
		c.Warmup.Epochs, c.EvalSamples = warmup, 3*c.BatchSize
		whole := checkpointed(t, c)
		want := ended(t, whole)
		perEpoch := len(whole.History.Steps) / len(whole.History.Evaluations)
		epoch := perEpoch + (len(whole.held)+c.BatchSize-1)/c.BatchSize // looks of a whole one
		calibrated := warmup*epoch + c.CalibrationBatches
		for what, x := range map[string]struct{ looks, steps, epochs int }{
			"calibration, begun":     {warmup * epoch, warmup * perEpoch, warmup},
			"calibration, half made": {warmup*epoch + 2, warmup * perEpoch, warmup},
			"evaluation within qat":  {calibrated + perEpoch, (warmup + 1) * perEpoch, warmup},
			"evaluation ending qat":  {calibrated + epoch + perEpoch + 1, (warmup + 2) * perEpoch, warmup + 1},
			"the last evaluation":    {calibrated + 2*epoch + perEpoch + 1, (warmup + 3) * perEpoch, warmup + 2},
			"the first evaluation":   {perEpoch + 1 + (1-warmup)*c.CalibrationBatches, perEpoch, 0},
		} {
			r := checkpointed(t, c)
			err := r.Run(&looks{t.Context(), x.looks})
			if !errors.Is(err, train.ErrInterrupted) || len(r.History.Steps) != x.steps ||
				len(r.History.Evaluations) != x.epochs {
				t.Fatalf("%s: stopped after %d steps and %d epochs: %v", what, len(r.History.Steps), len(r.History.Evaluations),
					err)
			}
			if !strings.HasSuffix(err.Error(), "everything up to it is in "+r.CheckpointPath) {
				t.Errorf("%s: %v does not tell of the checkpoint", what, err)
			}
			resumed, err := ResumeThreePhase(r.CheckpointPath)
			if err != nil {
				t.Fatal(err)
			}
			if len(resumed.History.Steps) != x.steps {
				t.Errorf("%s: resumed at step %d, want %d", what, len(resumed.History.Steps), x.steps)
			}
			if ended(t, resumed) != want {
				t.Errorf("warm-up of %d epochs, %s: another checkpoint at the end", warmup, what)
			}
		}
	}
}

// What a calibration leaves behind when it is told to stop does not keep the same run from being called again.
func TestAnInterruptedCalibrationCanBeRunAgain(t *testing.T) {
	c := shortThreePhase()
	c.Warmup.Epochs = 0
	want := ended(t, checkpointed(t, c))
	r := checkpointed(t, c)
	if err := r.Run(&looks{t.Context(), 1}); !errors.Is(err, train.ErrInterrupted) {
		t.Fatalf("got %v, want an interruption", err)
	}
	if ended(t, r) != want {
		t.Error("another checkpoint at the end")
	}
}

// pulled is an auxiliary loss with a parameter of its own: it pulls that to the gamma of the model's last norm, and the
// other way round.
func pulled(r *ThreePhase) *Auxiliary {
	p := graph.NewParam("pulled", r.Config.Model.Dim)
	return &Auxiliary{Params: []*graph.Param{p}, Loss: func(g *graph.Graph, _ layers.Output) *graph.Node {
		return graph.Drift(g, 1, []*graph.Node{g.Param(p)}, []*graph.Node{g.Param(r.Model.Head.Norm.Gamma)})
	}}
}

// The auxiliary loss is part of what the quantised phases minimise, weighted with lambda_baee, and its parameters are
// trained.
func TestAuxiliaryLossTakesPartInTheQuantisedPhases(t *testing.T) {
	c := shortThreePhase()
	plain := runThreePhase(t, c)
	r, err := NewThreePhase(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	aux := pulled(r)
	if err := r.Join(aux); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	perEpoch := len(r.History.Steps) / 4
	if !slices.Equal(r.History.Steps[:perEpoch], plain.History.Steps[:perEpoch]) {
		t.Error("the warm-up was changed")
	}
	first, last := r.History.Steps[perEpoch], r.History.Steps[len(r.History.Steps)-1]
	if math.Abs(first.Auxiliary-1) > 0.1 || math.Abs(first.Terms-c.LambdaBAEE*first.Auxiliary) > 1e-3 {
		t.Errorf("the first step through the quantisers has the auxiliary loss %v and terms of %v, want about 1 and %v "+
			"times that", first.Auxiliary, first.Terms, c.LambdaBAEE)
	}
	if !(last.Auxiliary < first.Auxiliary) || !(r.History.Evaluations[3].Auxiliary < r.History.Evaluations[1].Auxiliary) ||
		r.History.Evaluations[0].Auxiliary != 0 {
		t.Errorf("the auxiliary loss went from %v to %v", first.Auxiliary, last.Auxiliary)
	}
	if slices.Max(aux.Params[0].Data()) <= 0 {
		t.Error("its parameters were not trained")
	}
	c.LambdaBAEE = 0
	off, err := NewThreePhase(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := off.Join(pulled(off)); err != nil {
		t.Fatal(err)
	}
	if err := off.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(off.History.Steps, plain.History.Steps) {
		t.Error("with a weight of 0 the run is another than without an auxiliary loss")
	}
}

// Interrupted and resumed, with its parameters and their moments, a run with an auxiliary loss ends as one that was
// not.
func TestInterruptedAuxiliaryLossGoesOn(t *testing.T) {
	c := shortThreePhase()
	whole, err := NewThreePhase(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := pulled(whole)
	if err := errors.Join(whole.Join(want), whole.Run(t.Context())); err != nil {
		t.Fatal(err)
	}
	perEpoch := len(whole.History.Steps) / 4
	for _, at := range []int{1, perEpoch, perEpoch + 1, 3 * perEpoch, 3*perEpoch + 1} {
		path := filepath.Join(t.TempDir(), "c.safetensors")
		r, err := NewThreePhase(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.CheckpointPath = path
		ctx, stop := interruptAt(at)
		r.Hooks.Step = stop
		if err := errors.Join(r.Join(pulled(r)), r.Run(ctx)); !errors.Is(err, train.ErrInterrupted) {
			t.Fatalf("at %d: got %v, want an interruption", at, err)
		}
		resumed, err := ResumeThreePhase(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := resumed.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "trains an auxiliary loss along") {
			t.Errorf("at %d: continued without its auxiliary loss: %v", at, err)
		}
		other := &Auxiliary{Params: []*graph.Param{graph.NewParam("pulled", 1)}}
		if err := resumed.Join(other); err == nil || !strings.Contains(err.Error(), "pulled") {
			t.Errorf("at %d: another auxiliary loss: %v", at, err)
		}
		got := pulled(resumed)
		if err := errors.Join(resumed.Join(got), resumed.Run(t.Context())); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(resumed.History.Steps, whole.History.Steps) ||
			!slices.Equal(got.Params[0].Data(), want.Params[0].Data()) {
			t.Errorf("interrupted at step %d, the run ends otherwise", at)
		}
		sameParams(t, resumed.Quantised, whole.Quantised)
	}
	r, err := NewThreePhase(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Join(&Auxiliary{Params: []*graph.Param{r.Model.Head.Norm.Gamma}}); err == nil ||
		!strings.Contains(err.Error(), "has the name of one of the model's") {
		t.Errorf("a parameter of the model: %v", err)
	}
}

func TestThreePhasesFromAModel(t *testing.T) {
	c := shortThreePhase()
	base := newModel(t, c.Model)
	before := slices.Clone(base.Head.Out.W.Param.Data())
	r, err := NewThreePhase(c, base)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if prepared(base) || !slices.Equal(base.Head.Out.W.Param.Data(), before) {
		t.Error("the model that the run began with was changed")
	}
	other := tiny()
	other.Depth = 1
	if _, err := NewThreePhase(c, newModel(t, other)); err == nil ||
		!strings.Contains(err.Error(), "it has depth 1, not 2; give its settings in [model]") {
		t.Errorf("a model of another configuration: got %v", err)
	}
}

func TestUnsuitableThreePhasesAreRefused(t *testing.T) {
	for _, x := range []struct {
		want string
		set  func(c *ThreePhaseConfig)
	}{
		{"quantisation.group_size is 128", func(c *ThreePhaseConfig) { c.Quantisation.GroupSize = 128 }},
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
