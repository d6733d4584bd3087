package qat

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
)

func newBaseline(t *testing.T, a layers.Architecture) *layers.Model {
	t.Helper()
	m, err := layers.NewModel(layers.Config{
		Architecture: a, Dim: 12, Depth: 2, Heads: 2, VocabSize: 160, MaxLen: 64, NumClasses: 8,
		KFrac: 0.25, EpisodicSlots: 4, EpisodicWriteFrac: 0.1, MLPRatio: 2, SparseThreshold: 64,
	}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// changed lists the parameters of b that differ from those of a.
func changed(a, b *layers.Model) (names []string) {
	for i, p := range a.Params.All() {
		if !slices.Equal(p.Data(), b.Params.All()[i].Data()) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

func linearNames(m *layers.Model) (names []string) {
	for _, w := range linears(m) {
		names = append(names, w.Name)
	}
	slices.Sort(names)
	return names
}

// Uniform INT4 rounds the Linears of a baseline, and nothing else: not a GRU.
func TestUniformVariantsOfBaselines(t *testing.T) {
	for _, name := range layers.BuiltinArchitectures()[1:] {
		base := newBaseline(t, layers.Architecture(name))
		for _, variant := range []string{"int8_uniform", "int4_uniform"} {
			v, err := LookupVariants(variant)
			if err != nil {
				t.Fatal(err)
			}
			b, err := v[0].Build(context.Background(), base, DefaultExperiment(), tasks.Seeded(1), Session{})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := changed(base, b.Model), linearNames(base); !slices.Equal(got, want) {
				t.Errorf("%s of %s changes %v, want %v", variant, name, got, want)
			}
		}
	}
}

func TestRoundBaseline(t *testing.T) {
	for _, name := range layers.BuiltinArchitectures()[1:] {
		base := newBaseline(t, layers.Architecture(name))
		m, err := base.Clone()
		if err != nil {
			t.Fatal(err)
		}
		if err := RoundBaseline(m); err != nil {
			t.Fatal(err)
		}
		want := linearNames(base)
		if name == "llama" {
			want = slices.DeleteFunc(want, func(s string) bool { return s == "head.weight" })
		}
		if got := changed(base, m); !slices.Equal(got, want) {
			t.Errorf("%s: changes %v, want %v", name, got, want)
		}
		for _, w := range linears(m)[:1] { // rows of up to 128 inputs have one scale: at most 16 values
			row := slices.Clone(w.Param.Data()[:w.Shape[1]])
			slices.Sort(row)
			if n := len(slices.Compact(row)); n > 16 {
				t.Errorf("%s: a row of %s has %d values", name, w.Name, n)
			}
		}
	}
	if err := RoundBaseline(newBaseline(t, layers.SynapNet)); err == nil ||
		!strings.Contains(err.Error(), "architecture synapnet") {
		t.Errorf("of SynapNet: got %v", err)
	}
}

// CAJQ is for SynapNet's pathways.
func TestCAJQRefusesBaselines(t *testing.T) {
	base := newBaseline(t, layers.Llama)
	v, err := LookupVariants(CAJQPTQ)
	if err != nil {
		t.Fatal(err)
	}
	e := DefaultExperiment()
	e.CalibrationContext = 64
	_, build := v[0].Build(context.Background(), base, e, tasks.Seeded(1), Session{})
	_, calibrate := Calibrate(base, Batches{})
	_, prepare := Prepare(base, nil, DefaultOptions())
	phases := DefaultThreePhase() // before the warm-up, which may take hours
	phases.Model, phases.Context, phases.Quantisation = base.Config, 64, tinyOptions(Layers)
	for what, err := range map[string]error{"build": build, "calibrate": calibrate, "prepare": prepare,
		"every target": Variants()[len(Variants())-1].Check(e, base.Config), "three phases": phases.Validate()} {
		if err == nil || !strings.Contains(err.Error(), "architecture llama") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// Targets of other architectures, and of layers in SynapNet's blocks, are packed, and compute what was simulated.
func TestPackedLayersEqualTheFakeQuantGraph(t *testing.T) {
	configs := map[string]layers.Config{}
	for _, name := range layers.BuiltinArchitectures() {
		c := tiny()
		c.Architecture, c.UseScaleBridge = layers.Architecture(name), false
		configs[name] = c
	}
	c := tiny()
	c.BlockLayers = []string{"swiglu"}
	configs["swiglu in the blocks"] = c
	delete(configs, "synapnet")
	for name, c := range configs {
		t.Run(name, func(t *testing.T) {
			q := prepareModel(t, c, tinyOptions(TargetsOf(c)...), 48)
			if !slices.ContainsFunc(q.Weights, func(w *layers.Weight) bool { return strings.HasPrefix(w.Name, "blocks.0.") }) {
				t.Error("no weight of a block is quantised")
			}
			m := loadPacked(t, writePacked(t, q))
			convert(t, q)
			sameLogits(t, m, q.Model, 2, 40, 0)
		})
	}
}

// What a model does not have is refused.
func TestTargetsOfTheModel(t *testing.T) {
	of := func(change func(*layers.Config), targets ...Target) error {
		c := tiny()
		change(&c)
		return tinyOptions(targets...).Validate(c)
	}
	for want, err := range map[string]error{
		`targets is "ssm": a model of architecture llama does not have it`: of(func(c *layers.Config) {
			c.Architecture = layers.Llama
		}, SSM),
		`it has layers, embeddings, head`: of(func(c *layers.Config) {
			c.Architecture = layers.Llama
		}, Bridge),
		`a model of architecture synapnet without block_layers does not have it`: of(func(*layers.Config) {}, SSM, Layers),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
