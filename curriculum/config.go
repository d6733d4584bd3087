package curriculum

import (
	"cmp"
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
)

// Config is everything that determines a pretraining run.
type Config struct {
	// Recipe is what the configuration was made from (Recipe.Config), other settings in place of its own or not; "":
	// Reference. It determines nothing.
	Recipe Recipe `json:"recipe,omitempty" toml:"-"`

	Model layers.Config `json:"model" toml:"model"`

	// Init says which initial values a new model has; "": layers.Published.
	Init layers.Initialisation `json:"init,omitempty" toml:"init"`
	// InitFrom is the file of a model to begin from, whose configuration Model is; "": the initial weights of Seed.
	InitFrom string `json:"init_from,omitempty" toml:"init_from"`
	// InitSHA256 is the hash of that file; "": any. A run notes the one that it finds.
	InitSHA256 string `json:"init_sha256,omitempty" toml:"init_sha256"`
	// ExtendMaxLen is how many positions that model is given, in place of fewer; 0: as many as it has.
	ExtendMaxLen int              `json:"extend_max_len,omitempty" toml:"extend_max_len"`
	ExtendBy     layers.Extension `json:"extend_by,omitempty" toml:"extend_by"` // "": layers.Interpolate

	Curriculum []int `json:"curriculum" toml:"curriculum"` // context length of each stage, tokens
	// Stage are stages with settings of their own, in place of Curriculum.
	Stage []Stage `json:"stage,omitempty" toml:"stage"`

	SamplesPerStage int `json:"samples_per_stage" toml:"samples_per_stage"` // asked for; see tasks.Counts
	EpochsPerStage  int `json:"epochs_per_stage" toml:"epochs_per_stage"`
	BatchSize       int `json:"batch_size" toml:"batch_size"`
	// Chunks is the number of chunks that a sample is read in, see Stage.Chunks; 0: one pass.
	Chunks int `json:"chunks,omitempty" toml:"chunks"`
	// Classifier trains a retention classifier along (Trainer.Classifier), on what is read of the entries of chunks in
	// those after them.
	Classifier bool `json:"classifier,omitempty" toml:"classifier"`

	LR float64 `json:"lr" toml:"lr"` // peak learning rate
	// Rates are the peak rates that a run which diverged went on with, in place of LR (Trainer.LowerRate).
	Rates       []Rate `json:"rates,omitempty" toml:"-"`
	WarmupSteps int    `json:"warmup_steps" toml:"warmup_steps"` // linear from 0
	// CooldownSteps, if above 0, keep the rate at its peak until so many steps before the end, over which it falls to 0
	// linearly: what a run needs whose stages may end early. 0: a cosine to 0 from the warm-up on.
	CooldownSteps int     `json:"cooldown_steps,omitempty" toml:"cooldown_steps"`
	WeightDecay   float64 `json:"weight_decay" toml:"weight_decay"` // decoupled, on all parameters
	Beta1         float64 `json:"beta1" toml:"beta1"`
	Beta2         float64 `json:"beta2" toml:"beta2"`
	Clip          float64 `json:"clip" toml:"clip"` // global gradient norm; 0: none
	// Average, if above 0, is the decay of a moving average of the weights, which is what is evaluated and what the model
	// is at the end.
	Average float64 `json:"average,omitempty" toml:"average"`
	// Data are samples of the user's own, in place of tasks.
	Data *Data `json:"data,omitempty" toml:"data"`
	// Mixture are the tasks of the samples, with their shares; none: tasks.TrainingMixture.
	Mixture     []tasks.Weight `json:"mixture,omitempty" toml:"mixture"`
	Seed        uint64         `json:"seed" toml:"seed"` // initial weights, data and their order
	EvalSamples int            `json:"eval_samples" toml:"eval_samples"`
	// SampleKeys is the version of the keys of the samples' streams; 0 is 1, as of runs from before there were versions.
	SampleKeys tasks.Keys `json:"sample_keys,omitempty" toml:"sample_keys"`
}

// Rate is a peak learning rate that holds from a step on.
type Rate struct {
	Step int     `json:"step"` // the first that it holds for, from 1
	LR   float64 `json:"lr"`
}

// Default is the reference recipe (SPEC section 3).
func Default() Config {
	return Config{
		Model:           layers.Reference(),
		Curriculum:      []int{512, 1024},
		SamplesPerStage: 2048,
		EpochsPerStage:  2,
		BatchSize:       4,
		LR:              3e-4,
		WarmupSteps:     200,
		WeightDecay:     0.01,
		Beta1:           0.9,
		Beta2:           0.95,
		Clip:            1,
		Seed:            42,
		EvalSamples:     256,
		SampleKeys:      tasks.CurrentKeys,
	}
}

// Validate names the first setting that cannot work, its value and what is allowed.
func (c Config) Validate() error {
	if err := cmp.Or(bounds.Known("recipe", Recipes(), c.RecipeName()),
		bounds.In("model", cmp.Or(c.Model.Validate(), c.Model.CheckCausal())), c.checkInit()); err != nil {
		return err
	}
	if c.Model.LanguageModel() {
		return bounds.Wrong("model.num_classes", 0, "the curriculum's tasks are classifications and need at least 2 classes")
	}
	if c.Data != nil {
		if err := c.checkData(); err != nil {
			return err
		}
	}
	if err := cmp.Or(bounds.Check("samples_per_stage", c.SamplesPerStage, 1, 1<<24),
		bounds.Check("epochs_per_stage", c.EpochsPerStage, 1, 1<<20), bounds.Check("batch_size", c.BatchSize, 1, 1<<16),
		c.SampleKeys.Check(), c.checkStages(), c.checkClassifier(),
		bounds.Check("warmup_steps", c.WarmupSteps, 0, math.MaxInt32), c.checkCooldown(),
		bounds.Check("eval_samples", c.EvalSamples, 1, 1<<24)); err != nil {
		return err
	}
	return cmp.Or(bounds.Above("lr", math.MaxFloat64, c.LR), c.checkRates(),
		bounds.Check("weight_decay", c.WeightDecay, 0, math.MaxFloat64),
		bounds.Decay("average", c.Average), bounds.Decay("beta1", c.Beta1), bounds.Decay("beta2", c.Beta2),
		bounds.Check("clip", c.Clip, 0, math.MaxFloat64))
}

// params are the dimensions of the tasks at context length t.
func (c Config) params(t int) tasks.Params {
	return tasks.Params{Length: t, Vocab: c.Model.VocabSize, Classes: c.Model.NumClasses}
}

// mixture are the tasks of the samples.
func (c Config) mixture() []tasks.Weight {
	if len(c.Mixture) > 0 {
		return c.Mixture
	}
	return tasks.TrainingMixture()
}

// draw is the seed of all samples.
func (c Config) draw() tasks.Draw { return tasks.Draw{Keys: c.SampleKeys, Seed: c.Seed} }

// TotalSteps is the number of optimiser steps of the run, at most where a stage may end before its time.
func (c Config) TotalSteps() (int, error) {
	total := 0
	for _, s := range c.Stages() {
		n, err := s.StepsPerEpoch()
		if err != nil {
			return 0, err
		}
		total += n * s.Epochs
	}
	return total, nil
}

// WarmupProblem says that the warm-up is as long as the run of `total` steps or longer, so that LR is never reached;
// empty if it is shorter.
func (c Config) WarmupProblem(total int) string {
	if c.WarmupSteps < total || total < 1 {
		return ""
	}
	return fmt.Sprintf("warmup_steps is %d and the run has %d steps: the largest learning rate that it reaches is %.3g, "+
		"not lr %g; give a --warmup-steps below %d",
		c.WarmupSteps, total, c.schedule(total).At(total-1), c.PeakLR(), total)
}

// PeakLR is the peak learning rate that the run goes on with.
func (c Config) PeakLR() float64 {
	if n := len(c.Rates); n > 0 {
		return c.Rates[n-1].LR
	}
	return c.LR
}

// checkRates refuses rates that no run can have gone on with.
func (c Config) checkRates() error {
	step, lr := 0, c.LR
	for _, r := range c.Rates {
		if r.Step <= step || !(r.LR > 0 && r.LR < lr) {
			return bounds.Wrong("rates", c.Rates, "each must begin after the one before, with a lower rate above 0")
		}
		step, lr = r.Step, r.LR
	}
	return nil
}

// schedule is linear from 0 over the warm-up, then a cosine to 0 over the rest of the run's steps or, with a cooldown,
// flat and then linear to 0. Of a rate that holds from a step on it is the same, from there.
func (c Config) schedule(total int) train.Schedule {
	return c.scheduleUntil(total, func() int { return total })
}

// scheduleUntil is schedule of a run of which the number of steps at most and, as far as is known, the last one are
// told: a cosine falls towards the one, a cooldown towards the other.
func (c Config) scheduleUntil(total int, end func() int) train.Schedule {
	of := func(lr float64) train.Schedule {
		if c.CooldownSteps > 0 {
			return train.WarmupStableDecay(lr, c.WarmupSteps, c.CooldownSteps, end)
		}
		return train.WarmupCosine(lr, c.WarmupSteps, total)
	}
	s := of(c.LR)
	for _, r := range c.Rates {
		s = s.Then(r.Step-1, of(r.LR))
	}
	return s
}

// checkCooldown refuses a cooldown that would begin before the last stage: when it begins, it must be known that no
// stage before its end can end early.
func (c Config) checkCooldown() error {
	if err := bounds.Check("cooldown_steps", c.CooldownSteps, 0, math.MaxInt32); err != nil || c.CooldownSteps == 0 {
		return err
	}
	all := c.Stages()
	if len(all) == 0 {
		return nil // which has an error of its own
	}
	last := all[len(all)-1]
	n, err := last.StepsPerEpoch()
	if err != nil {
		return err
	}
	if last.Until != "" {
		return bounds.Wrong("cooldown_steps", c.CooldownSteps, "the last stage ends by accuracy, %q, so that nobody knows "+
			"when to begin: leave out its `until`", last.Until)
	}
	if most := n * last.Epochs; c.CooldownSteps > most {
		return bounds.Wrong("cooldown_steps", c.CooldownSteps, "it must be at most the steps of the last stage, %d", most)
	}
	return nil
}
