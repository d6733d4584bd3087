package main

import (
	"context"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
	"github.com/synapnet/synapnet-train/qat"
)

func TestMain(m *testing.M) {
	if err := register(); err != nil {
		log.Fatal(err)
	}
	os.Exit(m.Run())
}

// runs are small trainings of both models.
func runs(t *testing.T) map[string]curriculum.Config {
	t.Helper()
	other, err := withArchitecture()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]curriculum.Config{tokenShift.Name: withLayer(), sparseMemory.Name: other}
}

// Both models are trained, evaluated, packed and streamed.
func TestTrainEvaluatePackStream(t *testing.T) {
	for name, c := range runs(t) {
		t.Run(name, func(t *testing.T) {
			dir, ctx := t.TempDir(), context.Background()
			trainer, err := train(ctx, c, filepath.Join(dir, "checkpoint.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			chance := leastClass.Chance(tasks.Params{Items: 3, Classes: c.Model.NumClasses})
			accuracy, err := evaluate(ctx, trainer.Model)
			if err != nil || accuracy.Mean < chance+0.3 {
				t.Errorf("accuracy %.3f, %v; guessing gives %.3f", accuracy.Mean, err, chance)
			}
			packed, err := pack(trainer.Model, filepath.Join(dir, "packed.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			if !packed.Packed() || !packed.Config.Equal(c.Model) || packed.WeightBytes() >= trainer.Model.WeightBytes() {
				t.Errorf("packed: %v, %d bytes of %d", packed.Packed(), packed.WeightBytes(), trainer.Model.WeightBytes())
			}
			small, err := evaluate(ctx, packed)
			if err != nil || small.Mean < chance+0.2 {
				t.Errorf("packed, accuracy %.3f, %v; guessing gives %.3f", small.Mean, err, chance)
			}
			held, err := stream(packed, make([]int32, 100))
			if err != nil || held.Hot != 12*c.Model.Depth || held.Evicted == 0 {
				t.Errorf("streamed: %+v, %v; want %d entries held, and others evicted", held, err, 12*c.Model.Depth)
			}
		})
	}
}

// A run that is interrupted and continues from its checkpoint ends in the same weights.
func TestResume(t *testing.T) {
	for name, c := range runs(t) {
		c.SamplesPerStage, c.EvalSamples = 64, 16
		whole, err := train(context.Background(), c, filepath.Join(t.TempDir(), "whole.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "half.safetensors")
		half, err := curriculum.New(c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		half.CheckpointPath = path
		half.Hooks.Step = func(s curriculum.Step) {
			if s.Step == 3 {
				cancel()
			}
		}
		if err := half.Run(ctx); err == nil {
			t.Fatal("the run was not interrupted")
		}
		resumed, err := curriculum.Resume(path)
		if err != nil {
			t.Fatal(err)
		}
		if resumed.Done() != 3 {
			t.Errorf("%s: resumed after step %d, want 3", name, resumed.Done())
		}
		if err := resumed.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if resumed.Model.WeightsSHA256() != whole.Model.WeightsSHA256() {
			t.Errorf("%s: other weights than without the interruption", name)
		}
	}
}

// What is said of the models' sizes is so, for a reader of the last token and of all.
func TestCosts(t *testing.T) {
	for name, c := range runs(t) {
		m, err := layers.NewModel(c.Model, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := layers.Total(c.Model.Costs(24)).Parameters, m.Parameters(); got != want ||
			c.Model.Parameters() != want {
			t.Errorf("%s: %d parameters in the costs, %d in the outline, %d in the model", name, got, c.Model.Parameters(), want)
		}
		if untrained, err := m.Untrained(24); err != nil || len(untrained) > 0 {
			t.Errorf("%s: not trained: %v, %v", name, untrained, err)
		}
	}
}

// The packed weights are to the bit those of the simulation, and what is no packed weight is refused.
func TestTernary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][]int{{3, 5}, {7, 1, 9}, {1, 4, 4}} {
		w := graph.NewParam("w", shape...)
		for i := range w.Data() {
			w.Data()[i] = float32(rng.NormFloat64())
		}
		var y *graph.Node
		g, err := graph.Build(func(g *graph.Graph) {
			y = ternary.Fake(g, g.Param(w), nil, scheme.Settings{})
			g.Keep(y)
		})
		if err != nil {
			t.Fatal(err)
		}
		program, err := g.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if err := program.Run(); err != nil {
			t.Fatal(err)
		}
		spec := scheme.Spec{Scheme: ternary.Name, Shape: shape}
		packed, err := scheme.Pack(spec, w.Data(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(packed.Floats(), program.Value(y)) {
			t.Errorf("shape %v: packed %v, simulated %v", shape, packed.Floats(), program.Value(y))
		}
		program.Close()
		bad := slices.Repeat([]byte{0xff}, len(packed.Bytes()))
		if _, err := scheme.Parse(spec, bad); err == nil || !strings.Contains(err.Error(), "scale NaN of row 0") {
			t.Errorf("bytes of ones: got %v", err)
		}
	}
}

// The label follows from the input.
func TestTaskIsSolvable(t *testing.T) {
	p := tasks.Params{Length: 16, Vocab: 40, Classes: 8}
	samples, err := tasks.Generate(leastClass.Name, 400, p, tasks.Seeded(3).For(purpose, 0))
	if err != nil {
		t.Fatal(err)
	}
	zeros := 0
	for _, s := range samples {
		least := int32(p.Classes)
		for _, id := range s.IDs {
			if class := id - tasks.KeyStart; class >= 0 && class < least {
				least = class
			}
		}
		if s.Label != least {
			t.Fatalf("%v has label %d, want %d", s.IDs, s.Label, least)
		}
		if least == 0 {
			zeros++
		}
	}
	p.Items = 3
	if got, want := float64(zeros)/400, leastClass.Chance(p); got < want-0.1 || got > want+0.1 {
		t.Errorf("class 0 is the label of %.2f, declared %.2f", got, want)
	}
}

func TestPolicyKeepsFirstAndNewest(t *testing.T) {
	if got := sinks.Keep(nil, make([]policy.Entry, 10), 4); !slices.Equal(got, []int{0, 7, 8, 9}) {
		t.Errorf("of 10 entries it keeps %v", got)
	}
}

// Names are taken once, and mistakes in what bears them are one line.
func TestMistakes(t *testing.T) {
	c := withLayer()
	c.Model.BlockLayers = []string{"token_shif"}
	o := qat.DefaultOptions()
	o.Targets, o.Schemes = []qat.Target{qat.Layers}, map[qat.Target]string{qat.Layers: "ternery"}
	other, err := withArchitecture()
	if err != nil {
		t.Fatal(err)
	}
	other.Model.Options = map[string]float64{"ff_with": 1}
	for want, err := range map[string]error{
		`the name is taken`:                                   register(),
		`did you mean "token_shift"?`:                         c.Validate(),
		`did you mean "ternary"?`:                             o.Validate(withLayer().Model),
		`model.options.ff_with is 1: did you mean "ff_width"`: other.Validate(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
