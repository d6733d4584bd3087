package suites

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
)

// smallSuite shrinks the settings of a suite for it.
func smallSuite(s suiteSettings) suiteSettings {
	for _, p := range []*suitePart{&s.Paper, &s.Strict} {
		p.Contexts, p.Samples = []int{64}, 4
	}
	s.Making.CalibrationBatches, s.Making.Options.GroupSize = 2, 4
	s.Making.CalibrationContext, s.Making.Finetune.Context, s.Making.Finetune.Steps, s.Making.Finetune.Batch = 32, 32, 2, 2
	return s
}

func TestSuiteExperiments(t *testing.T) {
	root := labtest.SuiteRoot(t)
	for _, e := range []lab.Experiment{NeedleBenchExperiment(), RULERExperiment(), LongBenchExperiment(),
		LongContextExperiment()} {
		t.Run(e.Name, func(t *testing.T) {
			s := smallSuite(e.Settings(lab.Full).(suiteSettings))
			o := labtest.CheckRuns(t, e, root, func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
				j.Settings = s
				return e.Run(ctx, j)
			}, labtest.Always)
			for _, m := range o.Measurements {
				asked := m.Protocol == result.Paper && m.Labels[result.VariantLabel] != result.Guessing &&
					(e.Name == "ruler" && m.Labels[result.TaskLabel] == "niah_multi_key" ||
						m.Labels[result.TaskLabel] == "summarization")
				if noted := strings.Contains(m.Note, "cannot be answered"); noted != (asked && m.Metric == "accuracy") {
					t.Errorf("%+v", m)
				}
			}
			// Each variant, guessing, and the difference of each to fp16 where that is, on each task.
			want := 0
			for _, p := range []suitePart{s.Paper, s.Strict} {
				want += (len(p.Variants) + 1) * len(p.Tasks)
				if slices.Contains(p.Variants, qat.FP16) {
					want += (len(p.Variants) - 1) * len(p.Tasks)
				}
			}
			if len(o.Measurements) != want {
				t.Errorf("%d measurements, want %d", len(o.Measurements), want)
			}
		})
	}
}

// Checkpoints of trained variants are in the work folder, which is gone when all is done, and nowhere else.
func TestSuitesLeaveNoCheckpoints(t *testing.T) {
	root := labtest.SuiteRoot(t)
	s := smallSuite(NeedleBenchExperiment().Settings(lab.Full).(suiteSettings))
	j := labtest.NewJob(t, NeedleBenchExperiment(), root)
	if _, err := suiteRunner(tasks.NeedleBench)(t.Context(), j, s); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(j.Dir); err != nil || len(left) != 2 || left[1].Name() != left[0].Name()+".work" {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestSuitesRefuse(t *testing.T) {
	root := labtest.SuiteRoot(t)
	s := smallSuite(RULERExperiment().Settings(lab.Full).(suiteSettings))
	s.Strict.Contexts = []int{64, 4096}
	_, err := suiteRunner(tasks.RULER)(t.Context(), labtest.NewJob(t, RULERExperiment(), root), s)
	if err == nil || !strings.Contains(err.Error(), "4096") || !strings.Contains(err.Error(), "128") {
		t.Errorf("a context beyond the model gave %v", err)
	}
}
