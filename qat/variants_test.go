package qat

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/x448/float16"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

func build(t *testing.T, name string, base *layers.Model, seed uint64) *Built {
	t.Helper()
	v, err := LookupVariants(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := v[0].Build(t.Context(), base, tinyExperiment(), tasks.Seeded(seed), Session{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every variant gives a working model of its own and leaves the base alone; those that train have the control's number
// of steps; no two are the same function.
func TestEveryVariantIsAModelOfItsOwn(t *testing.T) {
	base := newModel(t, tiny())
	before := logits(t, base)
	known := map[string][]float32{}
	for _, v := range Variants() {
		b := build(t, v.Name, base, 3)
		y := logits(t, b.Model)
		if slices.ContainsFunc(y, func(x float32) bool { return x != x }) {
			t.Errorf("%s: logits are not numbers", v.Name)
		}
		for name, other := range known {
			if slices.Equal(y, other) {
				t.Errorf("%s is the same function as %s", v.Name, name)
			}
		}
		known[v.Name] = y
		if want := map[bool]int{true: tinyFinetune().Steps}[v.Trains]; len(b.Training.Steps) != want {
			t.Errorf("%s: %d training steps, want %d", v.Name, len(b.Training.Steps), want)
		}
		if v.About == "" {
			t.Errorf("%s has no description", v.Name)
		}
	}
	if prepared(base) || !slices.Equal(logits(t, base), before) {
		t.Error("the base model changed")
	}
}

// The control sees the batches of the quantised run: its first loss is that of the same data on the base model.
func TestControlTrainsOnTheSameData(t *testing.T) {
	base := newModel(t, tiny())
	memory := build(t, "cajq_memory_only", base, 3)
	control := build(t, FP16Finetuned, base, 3)
	for i, s := range memory.Training.Steps {
		if c := control.Training.Steps[i]; math.Abs(s.Loss-c.Loss) > 0.01*c.Loss || s.LR != c.LR {
			t.Errorf("step %d: loss %v with INT8 entries, %v without: not the same data or rate", i+1, s.Loss, c.Loss)
		}
	}
	for _, p := range control.Model.Params.All() {
		for i, x := range p.Data() {
			if scheme.HoldsHalf(p.Data()) && x != float16.Fromfloat32(x).Float32() {
				t.Fatalf("%s at %d is %v: the control is not rounded to half precision at the end", p.Name, i, x)
			}
		}
	}
}

func TestVariantsHaveTheirTargets(t *testing.T) {
	base := newModel(t, tiny())
	for name, want := range map[string][]Target{
		CAJQPTQ: {SSM, Attention}, CAJQQAT: {SSM, Attention}, "cajq_ssm_only": {SSM}, "cajq_attention_only": {Attention},
		"cajq_memory_only": {Memory}, "cajq_full": AllTargets(),
	} {
		if b := build(t, name, base, 1); !slices.Equal(b.Quantised.Options.Targets, want) {
			t.Errorf("%s: targets %v, want %v", name, b.Quantised.Options.Targets, want)
		}
	}
	noBridge := tiny()
	noBridge.UseScaleBridge = false
	want := []Target{SSM, Attention, Memory, FF, MemProj, Gates, Embeddings, Head}
	if got := build(t, "cajq_full", newModel(t, noBridge), 1).Quantised.Options.Targets; !slices.Equal(got, want) ||
		!slices.Equal(TargetsOf(noBridge), want) {
		t.Errorf("targets of a model without a bridge: %v, and %v, want %v", got, TargetsOf(noBridge), want)
	}
}

func TestFP16RoundsEveryParameter(t *testing.T) {
	base := newModel(t, tiny())
	b := build(t, FP16, base, 1)
	from := base.Params.All()
	for i, p := range b.Model.Params.All() {
		for j, x := range p.Data() {
			if x != float16.Fromfloat32(from[i].Data()[j]).Float32() {
				t.Fatalf("%s at %d: %v of %v", p.Name, j, x, from[i].Data()[j])
			}
		}
	}
	base.Head.Out.W.Param.Data()[0] = 1e6
	v, err := LookupVariants(FP16)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v[0].Build(t.Context(), base, tinyExperiment(), tasks.Seeded(1), Session{}); err == nil {
		t.Error("a weight beyond half precision was made infinite")
	}
}

func TestUniformVariantsRoundEveryLinear(t *testing.T) {
	base := newModel(t, tiny())
	for name, levels := range map[string]func(w []float32, cols int) int{
		"int8_uniform": func(w []float32, _ int) int { return distinct(w) },
		"int4_uniform": func(w []float32, cols int) int {
			most := 0
			for row := range slices.Chunk(w, cols) {
				for group := range slices.Chunk(row, 64) {
					most = max(most, distinct(group))
				}
			}
			return most
		},
	} {
		limit := map[string]int{"int8_uniform": 255, "int4_uniform": 16}[name]
		b := build(t, name, base, 1)
		from := linears(base)
		rounded := linears(b.Model)
		if rounded[len(rounded)-1] != b.Model.Head.Out.W {
			t.Fatal("the head is not among the Linears")
		}
		for i, w := range rounded {
			if n := levels(w.Param.Data(), w.Shape[1]); n > limit {
				t.Errorf("%s: %s has %d levels, want at most %d", name, w.Name, n, limit)
			}
			if slices.Equal(w.Param.Data(), from[i].Param.Data()) {
				t.Errorf("%s: %s was not rounded", name, w.Name)
			}
		}
		for i, p := range b.Model.Params.All() {
			if strings.HasSuffix(p.Name, ".bias") && !slices.Equal(p.Data(), base.Params.All()[i].Data()) {
				t.Errorf("%s: bias %s was changed", name, p.Name)
			}
		}
		if !slices.Equal(b.Model.Embedding.Tokens.Param.Data(), base.Embedding.Tokens.Param.Data()) {
			t.Errorf("%s changed the embeddings, which are no Linear", name)
		}
	}
}

func distinct(x []float32) int {
	values := map[float32]bool{}
	for _, v := range x {
		values[v] = true
	}
	return len(values)
}

func TestUnknownAndRepeatedVariantsAreRefused(t *testing.T) {
	for _, x := range []struct {
		names []string
		want  string
	}{
		{[]string{"cajq_qat", "caqj_ptq"}, `did you mean "cajq_ptq"?`},
		{[]string{"int8"}, `did you mean "`},
		{[]string{"fp16", "fp16"}, "fp16 is given twice"},
		{nil, "variants is []"},
	} {
		if _, err := LookupVariants(x.names...); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v: got %v, want an error with %q", x.names, err, x.want)
		}
	}
}

// A variant without quantisers does not care for settings that it does not read.
func TestVariantsCheckTheSettingsTheyRead(t *testing.T) {
	e := tinyExperiment()
	e.Options.GroupSize = 64
	for name, fits := range map[string]bool{FP16: true, FP16Finetuned: true, "int4_uniform": true, CAJQPTQ: false,
		CAJQQAT: false} {
		v, err := LookupVariants(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := v[0].Check(e, tiny()); (err == nil) != fits {
			t.Errorf("%s with groups of 64 of 32 inputs: %v", name, err)
		}
	}
}
