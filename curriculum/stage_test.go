package curriculum

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
)

// staged is the tiny run in stages of its own: one that another epoch ends early, one of fresh samples, and one with
// tasks and a batch of its own.
func staged() Config {
	c := tiny()
	c.Curriculum = nil
	c.Stage = []Stage{
		{Context: 22, Epochs: 5, Until: "overall > 0"},
		{Context: 24, Fresh: true},
		{Context: 32, Tokens: 640, BatchSize: 4, Epochs: 1, Mixture: []tasks.Weight{{Task: "niah_single", Share: 1}}},
	}
	return c
}

// What a stage leaves out is the run's. Tokens are samples of the stage's length.
func TestStagesTakeWhatTheyLeaveOutFromTheRun(t *testing.T) {
	c := staged()
	own, all := c.Stage[2].Mixture, tasks.TrainingMixture()
	want := []Stage{
		{Context: 22, Samples: 32, BatchSize: 8, Epochs: 5, Until: "overall > 0", Mixture: all},
		{Context: 24, Samples: 32, BatchSize: 8, Epochs: 2, Fresh: true, Mixture: all},
		{Context: 32, Samples: 20, Tokens: 640, BatchSize: 4, Epochs: 1, Mixture: own},
	}
	if got := c.Stages(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := c.Contexts(); !slices.Equal(got, []int{22, 24, 32}) {
		t.Errorf("contexts %v", got)
	}
	// 37 samples of 5 batches, 5 and 2 times; 20 of 5.
	if total, err := c.TotalSteps(); err != nil || total != 25+10+5 {
		t.Errorf("%d steps at most, %v", total, err)
	}
}

// Stages that say what the curriculum does make the same weights.
func TestTheCurriculumIsStages(t *testing.T) {
	plain := begin(t, tiny())
	finished(t, plain)
	c := tiny()
	c.Stage, c.Curriculum = []Stage{{Context: 24}, {Context: 32}}, nil
	own := begin(t, c)
	finished(t, own)
	for i, p := range plain.Model.Params.All() {
		if !slices.Equal(p.Data(), own.Model.Params.All()[i].Data()) {
			t.Fatalf("%s differs", p.Name)
		}
	}
	if !reflect.DeepEqual(plain.History.Evaluations, own.History.Evaluations) {
		t.Error("evaluations differ")
	}
}

// A stage with a goal ends with the evaluation that reaches it; the next begins with the following step.
func TestAStageEndsByAccuracy(t *testing.T) {
	r := begin(t, staged())
	finished(t, r)
	var at []int
	for _, e := range r.History.Evaluations {
		at = append(at, e.Step, e.Stage, e.Epoch)
	}
	if want := []int{5, 0, 0, 10, 1, 0, 15, 1, 1, 20, 2, 0}; !slices.Equal(at, want) {
		t.Errorf("evaluations (step, stage, epoch) %v, want %v", at, want)
	}
	if s := r.History.Steps[5]; s.Stage != 1 || s.Context != 24 || r.Done() != 20 {
		t.Errorf("step 6 is of stage %d, %d steps in all", s.Stage, r.Done())
	}
	c := staged()
	c.Stage[0].Until = "niah_single > 0.99"
	r = begin(t, c)
	finished(t, r)
	if r.Done() != 40 {
		t.Errorf("a goal that is not reached ends the stage after %d steps, want all", r.Done()-15)
	}
}

// strongly is the staged run with everything that the recipe strong has.
func strongly() Config {
	c := staged()
	c.Init, c.CooldownSteps, c.Average = layers.Induction, 4, 0.9
	c.Stage[1].RandomOffset, c.Stage[1].KFrac = true, 1
	c.Stage[2].RandomOffset, c.Stage[2].SparseAbove, c.Stage[2].Replay = true, 16, 0.5
	c.Stage[0].ReplayWeight, c.Stage[2].LRFactor = 3, 0.5
	c.Stage[2].Mixture = []tasks.Weight{{Task: "niah_single", Share: 0.5},
		{Task: "niah_multi_key", Share: 0.5, Needles: 2, Questions: 3}}
	return c
}

// A run in stages that was stopped anywhere and resumed ends in the same bytes.
func TestStagedRunsContinueExactly(t *testing.T) {
	for name, c := range map[string]Config{"staged": staged(), "strong": strongly()} {
		whole := begin(t, c)
		want := finished(t, whole)
		for at := range whole.Done() {
			if name == "strong" && at%5 != 3 {
				continue
			}
			r := begin(t, c)
			stopped(t, r, at)
			if finished(t, resumed(t, r.CheckpointPath)) != want {
				t.Errorf("%s: stopped after step %d, it ends in other bytes", name, at)
			}
		}
	}
}

// A stage's factor multiplies the run's rate in its steps, wherever they begin, and in no others.
func TestTheRateOfAStage(t *testing.T) {
	plain, c := staged(), staged()
	c.Stage[1].LRFactor = 0.25
	want, got := begin(t, plain), begin(t, c)
	finished(t, want)
	finished(t, got)
	if want.Done() != got.Done() {
		t.Fatalf("%d and %d steps: the stages end apart", want.Done(), got.Done())
	}
	of := map[int]bool{}
	for i, s := range got.History.Steps {
		of[s.Stage] = true
		rate := want.History.Steps[i].LR
		if s.Stage == 1 {
			rate *= 0.25
		}
		if s.Stage != want.History.Steps[i].Stage || s.LR != rate {
			t.Errorf("step %d of stage %d has the rate %g, want %g", s.Step, s.Stage, s.LR, rate)
		}
	}
	if len(of) != 3 {
		t.Errorf("the steps are of stages %v, want all three", of)
	}
}

// What is evaluated and saved at the end is the average of the weights; the training goes on with the weights.
func TestTheAverageIsWhatIsSaved(t *testing.T) {
	c := strongly()
	c.Average = 0
	plain := begin(t, c)
	finished(t, plain)
	c.Average = 0.9
	r := begin(t, c)
	finished(t, r)
	live, err := r.base.file()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]float32{}
	for _, p := range r.Model.Params.All() {
		want[p.Name] = slices.Clone(p.Data())
		q, _ := plain.Model.Params.ByName(p.Name)
		if !slices.Equal(q.Data(), p.Data()) {
			t.Fatalf("%s: the average changed the training", p.Name)
		}
	}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := r.SaveModel(path); err != nil {
		t.Fatal(err)
	}
	saved, err := layers.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	differs := false
	for _, p := range saved.Params.All() {
		differs = differs || !slices.Equal(p.Data(), want[p.Name])
	}
	if again, err := r.base.file(); err != nil || !reflect.DeepEqual(again, live) || !differs {
		t.Errorf("the saved model has the average: %t; the weights are what they were: %v", differs, err)
	}
}

// Fresh samples are others in each epoch; without, they are the same in another order.
func TestFreshSamples(t *testing.T) {
	c := staged()
	for _, fresh := range []bool{true, false} {
		s := c.Stages()[1]
		s.Fresh = fresh
		data, order, err := s.training(c.params(s.Context), c.draw().For(tasks.Training, 1))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		perEpoch, _ := s.StepsPerEpoch()
		for step := range 3 * perEpoch {
			for _, i := range order(step) {
				sample, err := data.Sample(i)
				if err != nil {
					t.Fatal(err)
				}
				var key strings.Builder
				for _, id := range sample.IDs {
					key.WriteRune(rune(id + 32))
				}
				seen[key.String()]++
			}
		}
		n, _ := s.Drawn()
		if want := map[bool]int{true: 3 * n, false: n}[fresh]; len(seen) != want {
			t.Errorf("fresh %t: %d different samples in 3 epochs of %d, want %d", fresh, len(seen), n, want)
		}
	}
}

// What a stage cannot be is named with its number, its value and what is allowed.
func TestValidateStages(t *testing.T) {
	if err := staged().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"stage is 3: there is a curriculum, too, [24]: give the one or the other": func(c *Config) {
			c.Curriculum = []int{24}
		},
		"stage.2.context is 41: it must be from 8 to the model's max_len 40": func(c *Config) {
			c.Stage[1].Context = 41
		},
		"stage.1.epochs is -1: it must be from 1 to 1048576": func(c *Config) { c.Stage[0].Epochs = -1 },
		"stage.3.tokens is -5: it must be from 0 to":         func(c *Config) { c.Stage[2].Tokens = -5 },
		"stage.3.mixture is [niah_single=2]: ": func(c *Config) {
			c.Stage[2].Mixture[0].Share = 2
		},
		`stage.3.until is "niah_multi_key > 0.9": it must be TASK > ACCURACY`: func(c *Config) {
			c.Stage[2].Until = "niah_multi_key > 0.9"
		},
		`stage.1.until is "overall > 1": it must be TASK > ACCURACY`: func(c *Config) { c.Stage[0].Until = "overall > 1" },
		`stage.1.until is "overall": it must be TASK > ACCURACY`:     func(c *Config) { c.Stage[0].Until = "overall" },
		"stage.2.replay is 1: it must be at least 0 and below 1":     func(c *Config) { c.Stage[1].Replay = 1 },
		"stage.1.replay is 0.5: the first stage has none before it":  func(c *Config) { c.Stage[0].Replay = 0.5 },
		"stage.1.replay_weight is -1: it must be from 0 to 1000":     func(c *Config) { c.Stage[0].ReplayWeight = -1 },
		"stage.2.lr_factor is 1001: it must be from 0 to 1000":       func(c *Config) { c.Stage[1].LRFactor = 1001 },
		"stage.2.fresh is true: sample_keys 1 have no place for":     func(c *Config) { c.SampleKeys = 1 },
	} {
		c := staged()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A checkpoint cannot say that a stage ended where none can.
func TestResumeRefusesStages(t *testing.T) {
	r := begin(t, staged())
	finished(t, r)
	for _, early := range [][]int{{5}, {4, 0, 0}, {0, 10, 0}, {35, 0, 0}, {-5, 0, 0}} {
		p := position{Config: r.Config, Done: 20, Epochs: 4, Early: early, Metrics: &metrics.Mark{}}
		again, err := New(r.Config)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.place(&p); err == nil {
			t.Errorf("stages that ended with %v were taken", early)
		}
	}
}
