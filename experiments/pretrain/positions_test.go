package pretrain

import (
	"context"
	"errors"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
)

// All ways to give positions are evaluated on the same samples and held against plain ones; within the trained context
// they are one.
func TestPositions(t *testing.T) {
	s := positionsSettings{Tasks: []string{"niah_single"}, Trained: 32, Contexts: []int{32, 64}, Samples: []int{8, 6},
		Seed: 1}
	o := labtest.CheckRuns(t, PositionsExperiment(), labtest.SuiteRoot(t),
		func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) { return runPositions(ctx, j, s) }, labtest.Always)
	if want := 2 * (3 + 1 + 2); len(o.Measurements) != want { // contexts, modes, guessing, differences
		t.Errorf("%d measurements, want %d", len(o.Measurements), want)
	}
	for _, variant := range []string{"squeeze", "wrap"} {
		m := labtest.Find(t, o, result.Strict, "difference", result.Labels{result.VariantLabel: variant,
			result.AgainstLabel: "plain", result.TaskLabel: "niah_single", result.ContextLabel: "32"})
		if m.Mean != 0 || m.N != 8 {
			t.Errorf("%s within the trained context: %+v", variant, m)
		}
	}
}

// Settings that cannot be are told by their key.
func TestPositionsSettings(t *testing.T) {
	m := Experiment().Settings(lab.Full).(Settings).Model
	good := PositionsExperiment().Settings(lab.Full).(positionsSettings)
	if err := good.Validate(m); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(s *positionsSettings){
		"samples":         func(s *positionsSettings) { s.Samples = s.Samples[:1] },
		"trained_context": func(s *positionsSettings) { s.Trained = m.MaxLen + 1 },
		"contexts":        func(s *positionsSettings) { s.Contexts[0] = m.MaxLen + 1 },
	} {
		s := PositionsExperiment().Settings(lab.Full).(positionsSettings)
		change(&s)
		if bad, ok := errors.AsType[*bounds.Error](s.Validate(m)); !ok || bad.Setting != want {
			t.Errorf("%s: %v", want, bad)
		}
	}
}
