package curriculum

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"testing/quick"

	"github.com/synapnet/synapnet-train/layers"
)

// The recipe of the paper (SPEC section 3): 2,048 steps of 4 samples.
func TestReferenceRecipe(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	samples, errA := c.Stages()[1].Drawn()
	perEpoch, errB := c.Stages()[1].StepsPerEpoch()
	total, errC := c.TotalSteps()
	if samples != 2047 || perEpoch != 512 || total != 2048 || errA != nil || errB != nil || errC != nil {
		t.Errorf("%d samples, %d steps an epoch, %d in all (%v %v %v), want 2047, 512, 2048", samples, perEpoch, total, errA,
			errB, errC)
	}
}

// From 0 over the warm-up to the peak, then down a cosine to 0.
func TestLearningRate(t *testing.T) {
	c := Default()
	const total = 2048
	for step, want := range map[int]float64{0: 0, 50: 0.25 * 3e-4, 100: 0.5 * 3e-4, 200: 3e-4, 200 + 924: 0.5 * 3e-4,
		2048: 0} {
		if got := c.schedule(total).At(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: %g, want %g", step, got, want)
		}
	}
	if last := c.schedule(total).At(total - 1); last <= 0 || last > 1e-9 {
		t.Errorf("last step: %g, want just above 0", last)
	}
	for step := 1; step < total; step++ {
		before, now := c.schedule(total).At(step-1), c.schedule(total).At(step)
		if rising := step <= c.WarmupSteps; rising != (now > before) {
			t.Errorf("step %d: from %g to %g", step, before, now)
		}
	}
	c.WarmupSteps = 0
	if got := c.schedule(total).At(0); got != c.LR {
		t.Errorf("without warm-up the first step has %g, want the peak %g", got, c.LR)
	}
}

// However warm-up and length are chosen, the rate is between 0 and the peak and never NaN.
func TestLearningRateStaysInBounds(t *testing.T) {
	property := func(step, total, warmup uint16) bool {
		c := Default()
		c.WarmupSteps = int(warmup)
		s := int(step) % (int(total) + 1)
		lr := c.schedule(int(total)).At(s)
		return lr >= 0 && lr <= c.LR
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

// The schedule is that of the published curve, whose run had 100 steps of warm-up.
func TestLearningRateIsThePublishedOne(t *testing.T) {
	text, err := os.ReadFile("../results/published/training_curve.json")
	if err != nil {
		t.Fatal(err)
	}
	var curve []struct {
		Step int     `json:"step"`
		LR   float64 `json:"lr"`
	}
	if err := json.Unmarshal(text, &curve); err != nil || len(curve) < 10 {
		t.Fatalf("%d points, %v", len(curve), err)
	}
	c := Default()
	c.WarmupSteps = 100
	total, err := c.TotalSteps()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range curve {
		if got := c.schedule(total).At(p.Step); math.Abs(got-p.LR) > 1e-9 {
			t.Errorf("step %d: %.12f, published %.12f", p.Step, got, p.LR)
		}
	}
}

// The first setting that cannot work is named with its value and what is allowed.
func TestValidate(t *testing.T) {
	if err := tiny().Validate(); err != nil {
		t.Errorf("tiny: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"model.heads is 5: it must divide dim (16); the nearest that does is 4": func(c *Config) { c.Model.Heads = 5 },
		"model.num_classes is 0: a language model, and":                         func(c *Config) { c.Model.NumClasses = 0 },
		"model.num_classes is 0: the curriculum's tasks are classifications": func(c *Config) {
			c.Model.NumClasses,
				c.Model.Architecture = 0, layers.Llama
		},
		"curriculum is []: give the context length of each stage": func(c *Config) { c.Curriculum = nil },
		"curriculum is 7: it must be from 8 to the model's max_len 40": func(c *Config) {
			c.Curriculum = []int{24,
				7}
		},
		"curriculum is 41: it must be from 8 to the model's max_len 40": func(c *Config) {
			c.Curriculum = []int{41}
		},
		"samples_per_stage is 0: it must be from 1 to 16777216":     func(c *Config) { c.SamplesPerStage = 0 },
		"epochs_per_stage is 0: it must be from 1 to 1048576":       func(c *Config) { c.EpochsPerStage = 0 },
		"batch_size is 0: it must be from 1 to 65536":               func(c *Config) { c.BatchSize = 0 },
		"batch_size is 100000: it must be from 1 to 65536":          func(c *Config) { c.BatchSize = 100_000 },
		"warmup_steps is -1: it must be from 0 to 2147483647":       func(c *Config) { c.WarmupSteps = -1 },
		"eval_samples is 0: it must be from 1 to 16777216":          func(c *Config) { c.EvalSamples = 0 },
		"lr is 0: it must be above 0 and finite":                    func(c *Config) { c.LR = 0 },
		"lr is -0.001: it must be above 0 and finite":               func(c *Config) { c.LR = -1e-3 },
		"lr is NaN: it must be above 0 and finite":                  func(c *Config) { c.LR = math.NaN() },
		"lr is +Inf: it must be above 0 and finite":                 func(c *Config) { c.LR = math.Inf(1) },
		"weight_decay is -1: it must be at least 0 and finite":      func(c *Config) { c.WeightDecay = -1 },
		"beta1 is 1: it must be at least 0 and below 1":             func(c *Config) { c.Beta1 = 1 },
		"beta2 is -0.1: it must be at least 0 and below 1":          func(c *Config) { c.Beta2 = -0.1 },
		`init is "mimetic": it must be one of published, induction`: func(c *Config) { c.Init = "mimetic" },
		`init is "induction": architecture llama has no such`: func(c *Config) {
			c.Init, c.Model.Architecture = layers.Induction, layers.Llama
		},
		"cooldown_steps is -1: it must be from 0": func(c *Config) { c.CooldownSteps = -1 },
		"cooldown_steps is 1000: it must be at most the steps of the last stage": func(c *Config) {
			c.CooldownSteps = 1000
		},
		"clip is NaN: it must be at least 0 and finite": func(c *Config) { c.Clip = math.NaN() },
	} {
		c := tiny()
		change(&c)
		err := c.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
		if _, err := New(c); err == nil {
			t.Errorf("New takes it where %s", want)
		}
	}
	// What the tasks need beyond that is said by them, by name.
	for what, change := range map[string]func(*Config){
		"length 12": func(c *Config) { c.Curriculum = []int{12} },
		"vocab":     func(c *Config) { c.Model.VocabSize = 20 },
		"classes":   func(c *Config) { c.Model.NumClasses = 3 },
	} {
		c := tiny()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), strings.Fields(what)[0]) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
