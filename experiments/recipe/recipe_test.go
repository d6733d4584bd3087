package recipe

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// small trains models of a few thousand parameters for a few steps.
func small() settings {
	s := Experiment().Settings(lab.Quick).(settings)
	for _, t := range []*trial{&s.LookUp, &s.Whole, &s.Memory} {
		c := &t.Training
		c.Model.Dim, c.Model.VocabSize, c.EvalSamples, c.CooldownSteps = 16, 128, 16, 0
		c.Stage[0].Samples, c.Stage[0].BatchSize, t.Samples = 16, 8, 4
	}
	return s
}

func TestRecipe(t *testing.T) {
	s := small()
	o := labtest.CheckRuns(t, Experiment(), t.TempDir(),
		func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) { return run(ctx, j, s) },
		func(result.Measurement) bool { return true })
	for _, v := range s.LookUp.Variants {
		l := result.Labels{"trial": "look_up", result.VariantLabel: v.Name}
		if steps := labtest.Find(t, o, result.Strict, "steps", l).Mean; steps != 4 && steps != 2 {
			t.Errorf("%s: %g steps", v.Name, steps)
		}
	}
}

// A test in chunks needs samples of whole ones.
func TestChunksOfTheTest(t *testing.T) {
	s := small()
	s.Memory.Chunk = 48
	if err := s.Validate(); err == nil ||
		err.Error() != "memory.contexts is [128]: they must be multiples of a chunk's 48 tokens" {
		t.Error(err)
	}
	s.Memory.Chunk = 256
	if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(),
		"memory.chunk is 256: it must be from 0 to 128") {
		t.Error(err)
	}
}

// A variant is the training with other values of the keys that it names, and nothing else.
func TestVariants(t *testing.T) {
	base := small().Whole.Training
	base.SampleKeys = tasks.CurrentKeys
	c, err := variant{Set: []string{"init=shift+match", "model.k_frac=0.5", "lr=3e-3"},
		Stage: []string{"random_offset=false"}, Questions: 2}.of(base)
	if err != nil {
		t.Fatal(err)
	}
	want := base
	want.Init, want.Model.KFrac, want.LR = "shift+match", 0.5, 3e-3
	want.Stage = append(want.Stage[:0:0], want.Stage...)
	want.Stage[0].RandomOffset = false
	want.Stage[0].Mixture = append(want.Stage[0].Mixture[:0:0], want.Stage[0].Mixture...)
	want.Stage[0].Mixture[0].Questions = 2
	if !reflect.DeepEqual(lab.Canonical(c), lab.Canonical(want)) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if base.Stage[0].Mixture[0].Questions != 6 {
		t.Error("the training itself was changed")
	}
	for _, bad := range []string{"k_frac", "model.k_frak=1", "lr=fast"} {
		if _, err := (variant{Set: []string{bad}}).of(base); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
