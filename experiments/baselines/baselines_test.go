package baselines

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// smallBaselines trains models of a few thousand parameters for a few steps.
func smallBaselines() baselineSettings {
	s := Experiment().Settings(lab.Quick).(baselineSettings)
	for _, p := range []*baselinePart{&s.Paper, &s.Strict} {
		c := &p.Training.Model
		c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses, c.EpisodicSlots = 32, 2, 2, 64, 64, 16, 4
		p.Training.Curriculum, p.Training.SamplesPerStage, p.Training.BatchSize, p.Training.EvalSamples = []int{24}, 32, 16,
			32
		p.Contexts, p.Samples = []int{32}, 4
	}
	s.Strict.Architectures = []string{"synapnet", "llama"}
	s.Paper.Architectures = []string{"gru_ssm", "em_llm"}
	s.Speed, s.Repetitions = []int{32, 4096}, 2
	s.Making.Options.GroupSize, s.Making.CalibrationContext = 8, 24
	return s
}

// Every architecture is measured. Of several rates the one that is right most often on validation samples is tested,
// with every seed on the same samples; what others answer is held against SynapNet's.
func TestBaselines(t *testing.T) {
	s := smallBaselines()
	p := &s.Strict
	p.Rates, p.Seeds, p.Validation, p.Samples = []float64{1e-6, 3e-2}, []uint64{42, 43}, 8, 6
	p.Training.Mixture = []tasks.Weight{{Task: "niah_multi_key", Share: 0.5, Questions: 2}, {Task: "fa", Share: 0.5}}
	timeless := func(m result.Measurement) bool {
		return m.Metric != "training_time" && m.Metric != "tokens_per_second"
	}
	o := labtest.CheckRuns(t, Experiment(), t.TempDir(),
		func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) { return runBaselines(ctx, j, s) }, timeless)
	parameters := func(name string) float64 {
		return labtest.Find(t, o, result.Strict, "parameters", result.Labels{result.ModelLabel: name}).Mean
	}
	if got := parameters("llama") / parameters("synapnet"); math.Abs(got-1) > layers.MatchTolerance {
		t.Errorf("llama has %g times the parameters of the reference", got)
	}
	forms := map[string]string{"synapnet": qat.CAJQPTQ, "llama": int4Form}
	for name, form := range forms {
		for _, f := range []string{result.Trained, form} {
			labtest.Find(t, o, result.Strict, "accuracy",
				result.Labels{result.ModelLabel: name, result.VariantLabel: f, result.TaskLabel: "fa", result.ContextLabel: "32"})
		}
		at := func(rate string) result.Measurement {
			return labtest.Find(t, o, result.Strict, "validation_accuracy",
				result.Labels{result.ModelLabel: name, rateLabel: rate})
		}
		slow, fast := at("1e-06"), at("0.03")
		if (slow.Note == "chosen") != (slow.Mean >= fast.Mean) || (fast.Note == "chosen") == (slow.Note == "chosen") ||
			slow.N != 4*8 {
			t.Errorf("%s: %+v, %+v", name, slow, fast)
		}
	}
	if !slices.Equal(o.Seeds, p.Seeds) {
		t.Errorf("seeds %v", o.Seeds)
	}
	l := labels("llama", result.Trained, "variable_track", "32")
	llama := labtest.Find(t, o, result.Strict, "accuracy", l)
	synapnet := labtest.Find(t, o, result.Strict, "accuracy", labels("synapnet", result.Trained, "variable_track", "32"))
	d := labtest.Find(t, o, result.Strict, "difference", result.With(l, result.AgainstLabel, "synapnet"))
	if llama.N != 12 || d.N != 12 || math.Abs(d.Mean-(llama.Mean-synapnet.Mean)) > 1e-9 {
		t.Errorf("%+v, %+v: difference %+v", llama, synapnet, d)
	}
}

// Ties go to the first rate, and none is chosen before all are validated.
func TestRate(t *testing.T) {
	r := &baselines{done: &lab.Cells[baselineCell]{Done: map[string]baselineCell{}}}
	r.Strict.Rates = []float64{1, 2, 3}
	m := baselineModel{protocol: result.Strict, name: "llama"}
	for i, correct := range []int{4, 5, 5} {
		if _, known := r.rate(m); known {
			t.Errorf("chosen after %d", i)
		}
		r.done.Done[m.validated(r.Strict.Rates[i])] = baselineCell{Validation: scores{"32": {
			"fa": {Accuracy: curriculum.NewAccuracy(correct, 8)}}}}
	}
	if rate, known := r.rate(m); !known || rate != 2 {
		t.Errorf("chosen is %g, %t", rate, known)
	}
}

// Settings of trainings that cannot be.
func TestBaselinesRefuseTrainings(t *testing.T) {
	for want, set := range map[string]func(p *baselinePart){
		"strict.validation_samples is 0": func(p *baselinePart) { p.Rates = []float64{0.1, 0.2} },
		"strict.rates is":                func(p *baselinePart) { p.Rates = []float64{0.1, 0.1} },
		"strict.seeds is":                func(p *baselinePart) { p.Seeds = []uint64{1, 1} },
	} {
		s := smallBaselines()
		set(&s.Strict)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A training that was stopped in its midst gives what one that was not gives, and leaves no files but in the work
// folder.
func TestBaselinesContinueTrainings(t *testing.T) {
	s := smallBaselines()
	s.Paper.Architectures, s.Strict.Architectures = nil, []string{"llama"}
	run := func(stop bool) (*lab.Outcome, *lab.Job) {
		j := labtest.NewJob(t, Experiment(), t.TempDir())
		if stop {
			work, err := j.Work()
			if err != nil {
				t.Fatal(err)
			}
			r := &baselines{baselineSettings: s, job: j, work: work}
			models, err := r.models()
			if err != nil {
				t.Fatal(err)
			}
			tr, err := curriculum.New(models[0].config)
			if err != nil {
				t.Fatal(err)
			}
			tr.CheckpointPath = r.checkpoint(models[0])
			ctx, cancel := context.WithCancel(t.Context())
			tr.Hooks.Step = func(curriculum.Step) { cancel() }
			if err := tr.Run(ctx); err == nil {
				t.Fatal("the training was not stopped")
			}
		}
		o, err := runBaselines(t.Context(), j, s)
		if err != nil {
			t.Fatal(err)
		}
		return o, j
	}
	whole, _ := run(false)
	o, j := run(true)
	l := result.Labels{result.ModelLabel: "llama", result.VariantLabel: result.Trained, result.TaskLabel: "fa",
		result.ContextLabel: "32"}
	if a, b := labtest.Find(t, whole, result.Strict, "accuracy", l),
		labtest.Find(t, o, result.Strict, "accuracy", l); a.Mean != b.Mean {
		t.Errorf("accuracy %g, without a stop %g", b.Mean, a.Mean)
	}
	if left, err := os.ReadDir(j.Dir); err != nil || len(left) != 2 || left[1].Name() != left[0].Name()+".work" {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

// A checkpoint that cannot be read is not thrown away: it may be hours of training.
func TestBaselinesKeepAnUnreadableCheckpoint(t *testing.T) {
	s := smallBaselines()
	s.Paper.Architectures, s.Strict.Architectures = nil, []string{"llama"}
	j := labtest.NewJob(t, Experiment(), t.TempDir())
	work, err := j.Work()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(work, "strict-llama.safetensors")
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runBaselines(t.Context(), j, s); err == nil || !strings.Contains(err.Error(), path) ||
		!strings.HasSuffix(err.Error(), "; delete it to train strict/llama anew") {
		t.Errorf("a damaged checkpoint: %v", err)
	}
	if kept, err := os.ReadFile(path); err != nil || string(kept) != "damaged" {
		t.Errorf("it is now %q (%v)", kept, err)
	}
}

// All architectures can be matched in both profiles.
func TestBaselinesAreMatched(t *testing.T) {
	for _, p := range lab.Profiles() {
		r := &baselines{baselineSettings: Experiment().Settings(p).(baselineSettings)}
		models, err := r.models()
		if err != nil || len(models) != 5+6 {
			t.Errorf("%s: %d models, %v", p, len(models), err)
		}
	}
}
