package eviction

import (
	"cmp"
	"errors"
	"slices"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
)

// Validate names the first setting that cannot work with a model of configuration m.
func (c GridConfig) Validate(m layers.Config) error {
	if m.LanguageModel() {
		return errors.New("the model predicts tokens (num_classes 0): the grid needs a model with a classification head")
	}
	positions := []string{string(tasks.Early), string(tasks.Late), string(tasks.Anywhere)}
	if err := cmp.Or(bounds.Names("policies", policy.Names(), c.Policies...), bounds.Share("budgets", c.Budgets...),
		bounds.List("budgets", c.Budgets...), bounds.Names("positions", positions, c.Positions...),
		bounds.List("seeds", c.Seeds...), bounds.List("contexts", c.Contexts...),
		bounds.Names("protocols", []baee.Protocol{baee.Paper, baee.Strict}, c.Protocols...),
		bounds.AtLeast("samples", 1, c.Samples), m.CheckContexts("chunk", c.Chunk)); err != nil {
		return err
	}
	for _, p := range c.Protocols {
		if len(c.policies(p)) == 0 {
			return bounds.Wrong("policies", c.Policies, "the reference has none of them, and so protocol %s has none: add "+
				"another, or give `protocols` %s", p, baee.Strict)
		}
	}
	settings := tasks.Settings{Length: "contexts", Needles: "needles"}
	for _, k := range c.cases() {
		whole := k.Context >= c.Chunk && k.Context%c.Chunk == 0
		if !whole && !slices.Contains(c.Contexts, k.Context) {
			return bounds.Wrong("headline", true, "its %d tokens are no whole number of chunks (`chunk` %d)", k.Context, c.Chunk)
		}
		if !whole {
			return bounds.Wrong("contexts", k.Context, "it must be a whole number of chunks (`chunk` %d)", c.Chunk)
		}
		if err := settings.Check(pressureTask, c.params(m, k)); err != nil {
			return err
		}
	}
	return nil
}

// NeedlesFor is how many facts a stream for a model of configuration m has: 0, the task's own number, where the model
// has classes enough for it. With fewer, half of the classes are keys, and all keys but one have a fact.
func NeedlesFor(m layers.Config) int {
	err := tasks.Check(pressureTask, tasks.Params{Length: tasks.MaxLength, Vocab: m.VocabSize, Classes: m.NumClasses})
	if p, ok := errors.AsType[*tasks.ParamError](err); ok && p.Param == "classes" {
		return max(0, m.NumClasses/2-1)
	}
	return 0
}

// Validate names the first setting that cannot work with a model of configuration m.
func (c TrainConfig) Validate(m layers.Config) error {
	if m.LanguageModel() {
		return errors.New("the model predicts tokens (num_classes 0): the samples need a model with a classification head")
	}
	if err := cmp.Or(bounds.List("seeds", c.Seeds...), bounds.List("noise", c.Noise...),
		bounds.Share("learning_rates", c.LearningRates...), bounds.List("learning_rates", c.LearningRates...),
		bounds.Share("published_rates", c.PublishedRates...), bounds.List("published_rates", c.PublishedRates...),
		bounds.Check("hidden", c.Hidden, 1, 1<<16), bounds.AtLeast("batch", 1, c.Batch),
		bounds.AtLeast("paper_sequences", 2, c.PaperSequences), m.CheckContexts("paper_context", c.PaperContext),
		bounds.AtLeast("paper_steps", 1, c.PaperSteps), bounds.Names("tasks", tasks.Names(), c.Tasks...),
		bounds.AtLeast("sequences", 5, c.Sequences), m.CheckContexts("chunk", c.Chunk),
		bounds.AtLeast("per_decision", 1, c.PerDecision), bounds.AtLeast("steps", 1, c.Steps),
		bounds.Once("fresh_seeds", c.FreshSeeds...)); err != nil {
		return err
	}
	if slices.Contains(c.FreshSeeds, c.DataSeed) {
		return bounds.Wrong("fresh_seeds", c.DataSeed, "it is `data_seed`: its sequences are those that are trained on")
	}
	if err := bounds.AtLeast("fresh_sequences", min(1, len(c.FreshSeeds)), c.FreshSequences); err != nil {
		return err
	}
	for _, p := range c.Noise {
		if !(p >= 0 && p < 0.5) {
			return bounds.Wrong("noise", p, "it must be at least 0 and below 0.5, where labels carry nothing")
		}
	}
	if c.Context < 2*c.Chunk || c.Context%c.Chunk != 0 {
		return bounds.Wrong("context", c.Context, "it must be two or more whole chunks (`chunk` %d)", c.Chunk)
	}
	for _, name := range c.Tasks {
		if err := (tasks.Settings{Length: "context"}).Check(name, measure.TaskParams(m, c.Context)); err != nil {
			return err
		}
	}
	return measure.CheckTests(tasks.Settings{Length: "paper_context"}, m, []int{c.PaperContext}, measure.MixtureTask)
}

// grid is the one whose memories are measured.
func (s microbenchSettings) grid() GridConfig {
	return GridConfig{
		Policies: s.Policies, Budgets: []float64{0.1}, Positions: []string{string(tasks.Early)},
		Seeds: []uint64{s.TargetSeed}, Contexts: []int{s.Context},
		Protocols: []baee.Protocol{baee.Paper, baee.Strict}, Samples: max(s.PaperSamples, s.StrictSamples), Chunk: s.Chunk,
		Needles: s.Needles, SampleKeys: s.SampleKeys,
	}
}

// Validate names the first setting that cannot work with a model of configuration m.
func (s microbenchSettings) Validate(m layers.Config) error {
	err := cmp.Or(bounds.AtLeast("sizes", 4, s.Sizes...), bounds.List("sizes", s.Sizes...),
		bounds.AtLeast("repetitions", 1, s.Timed), bounds.AtLeast("entries", 1, s.Entries),
		bounds.AtLeast("pairs", 1, s.Pairs),
		bounds.AtLeast("paper_samples", 1, s.PaperSamples), bounds.AtLeast("strict_samples", 1, s.StrictSamples),
		bounds.AtLeast("needles", 1, s.Needles), bounds.AtLeast("paper_stream", s.Chunk, s.PaperStream),
		bounds.AtLeast("strict_stream", s.Chunk, s.StrictStream))
	return cmp.Or(err, inContext(s.grid().Validate(m)))
}

// inContext is an error of a grid of one context, which is called so.
func inContext(err error) error {
	if e, ok := errors.AsType[*bounds.Error](err); ok && e.Setting == "contexts" {
		return &bounds.Error{Setting: "context", Value: e.Value, Problem: e.Problem}
	}
	return err
}

// grid is the one of which the experiment is a row.
func (s pressureSettings) grid() GridConfig {
	return GridConfig{
		Policies: s.Policies, Budgets: []float64{s.Budget}, Positions: []string{string(tasks.Early)}, Seeds: []uint64{s.Seed},
		Contexts:  s.Contexts,
		Protocols: []baee.Protocol{baee.Paper, baee.Strict}, Samples: s.Samples, Chunk: s.Chunk, Needles: s.Needles,
		SampleKeys: s.SampleKeys,
	}
}

// Validate names the first setting that cannot work with a model of configuration m.
func (s pressureSettings) Validate(m layers.Config) error {
	return cmp.Or(bounds.Known("tiered", policy.Names(), s.Tiered...), bounds.Once("tiered", s.Tiered...),
		bounds.AtLeast("needles", 1, s.Needles), bounds.Share("budget", s.Budget), s.grid().Validate(m))
}

// Validate names the first setting that cannot work with a model of configuration m.
func (s answersSettings) Validate(m layers.Config) error {
	if m.LanguageModel() {
		return errors.New("the model predicts tokens (num_classes 0): the tasks need a model with a classification head")
	}
	positions := []string{string(tasks.Early), string(tasks.Late), string(tasks.Anywhere)}
	if err := cmp.Or(bounds.Names("tasks", tasks.Names(), s.Tasks...),
		bounds.Names("positions", positions, s.Positions...),
		bounds.Known("spread", tasks.Names(), s.Spread...), bounds.Once("spread", s.Spread...),
		bounds.List("contexts", s.Contexts...), bounds.Names("policies", policy.Names(), s.Policies...),
		bounds.Known("principal", policy.Names(), s.Principal...), bounds.Once("principal", s.Principal...),
		bounds.Known("tiered", policy.Names(), s.Tiered...), bounds.Once("tiered", s.Tiered...),
		bounds.Share("budgets", s.Budgets...), bounds.List("budgets", s.Budgets...),
		bounds.AtLeast("needles", 1, s.Needles), m.CheckContexts("chunk", s.Chunk)); err != nil {
		return err
	}
	if !slices.Contains(s.Policies, answersOurs) {
		return bounds.Wrong("policies", s.Policies, "%s must be one of them: all others are compared with it", answersOurs)
	}
	for _, name := range s.Tiered {
		if p, err := policy.Lookup(name); err == nil && p.Score == nil {
			return bounds.Wrong("tiered", name, "it has no scores to choose tiers by")
		}
	}
	for _, name := range s.Spread {
		if slices.Contains(s.Tasks, name) {
			return bounds.Wrong("spread", name, "it is in `tasks`, too: leave one of them out")
		}
	}
	if err := cmp.Or(bounds.AtLeast("long_from", 0, s.LongFrom), bounds.Known("long_tasks", s.Tasks, s.LongTasks...),
		bounds.Once("long_tasks", s.LongTasks...)); err != nil {
		return err
	}
	long := func(t int) bool { return s.LongFrom > 0 && t >= s.LongFrom }
	if len(s.LongTasks) == 0 && slices.ContainsFunc(s.Contexts, long) {
		return bounds.Wrong("long_tasks", s.LongTasks, "from `long_from` (%d) tokens on there would be none: give some of "+
			"`tasks`", s.LongFrom)
	}
	for _, t := range s.Contexts {
		if t < 2*s.Chunk || t%s.Chunk != 0 {
			return bounds.Wrong("contexts", t, "it must be two or more whole chunks (`chunk` %d)", s.Chunk)
		}
	}
	return cmp.Or(s.checkSamples(), s.checkTasks(m))
}

// checkSamples is Validate for the numbers of samples.
func (s answersSettings) checkSamples() error {
	if err := bounds.AtLeast("samples", 1, s.Samples...); err != nil {
		return err
	}
	more := s.Samples
	for _, of := range []struct {
		setting string
		samples []int
	}{{"samples", s.Samples}, {"rival_samples", s.RivalSamples}, {"grid_samples", s.GridSamples}} {
		if len(of.samples) != len(s.Contexts) {
			return bounds.Wrong(of.setting, of.samples, "give a number for each of the %d `contexts`", len(s.Contexts))
		}
		for i, n := range of.samples {
			if n > more[i] {
				return bounds.Wrong(of.setting, n, "it must be at most %d, as at %d tokens the rows have that come before",
					more[i], s.Contexts[i])
			}
		}
		more = of.samples
	}
	return nil
}

// checkTasks is Validate for samples: that there are any.
func (s answersSettings) checkTasks(m layers.Config) error {
	for _, c := range s.cases() {
		keys := tasks.Settings{Task: "tasks", Length: "contexts", Needles: "needles"}
		if slices.Contains(s.Spread, c.Task) {
			keys.Task = "spread"
		}
		if err := keys.Check(c.Task, s.params(m, c)); err != nil {
			return err
		}
		if c.Context > s.Contexts[0] {
			continue // those of the first one tell whether the targets can lie at the position
		}
		next, err := s.sampler(m, c)
		if err != nil {
			return err
		}
		if _, err := next(); err != nil {
			return err
		}
	}
	return nil
}
