package eviction

import (
	"cmp"
	"fmt"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/layers"
)

// What is wrong with the settings whatever the model. What depends on it is checked when it is read.

// knownPolicies is an error of the first policy under a key that is none.
func knownPolicies(key string, names []string) error {
	for _, name := range names {
		if _, err := policy.Lookup(name); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return lab.Distinct(key, names...)
}

// Validate names the first setting that no model allows.
func (c GridConfig) Validate() error {
	return cmp.Or(knownPolicies("policies", c.Policies), lab.Within("budgets", 0, 1, c.Budgets...),
		lab.Distinct("budgets", c.Budgets...),
		lab.Known("positions", []string{string(tasks.Early), string(tasks.Late), string(tasks.Anywhere)}, c.Positions...),
		lab.Distinct("seeds", c.Seeds...), lab.Contexts("contexts", c.Contexts...),
		lab.Known("protocols", []baee.Protocol{baee.Paper, baee.Strict}, c.Protocols...),
		lab.AtLeast("samples", 1, c.Samples),
		lab.AtLeast("chunk", layers.MinContext, c.Chunk))
}

// Validate names the first setting that no model allows.
func (c TrainConfig) Validate() error {
	return cmp.Or(lab.Distinct("seeds", c.Seeds...), lab.Distinct("noise", c.Noise...),
		lab.Within("learning_rates", 0, 1, c.LearningRates...),
		lab.Distinct("learning_rates", c.LearningRates...), lab.Within("published_rates", 0, 1, c.PublishedRates...),
		lab.Distinct("published_rates", c.PublishedRates...), lab.AtLeast("hidden", 1, c.Hidden),
		lab.AtLeast("batch", 1, c.Batch),
		lab.AtLeast("paper_sequences", 2, c.PaperSequences), lab.AtLeast("paper_context", layers.MinContext, c.PaperContext),
		lab.AtLeast("paper_steps", 1, c.PaperSteps), lab.Known("tasks", tasks.Names(), c.Tasks...),
		lab.AtLeast("sequences", 5, c.Sequences),
		lab.AtLeast("chunk", layers.MinContext, c.Chunk), lab.AtLeast("context", 2*c.Chunk, c.Context),
		lab.AtLeast("per_decision", 1, c.PerDecision),
		lab.AtLeast("steps", 1, c.Steps))
}

// Validate names the first setting that no model allows.
func (s microbenchSettings) Validate() error {
	return cmp.Or(knownPolicies("policies", s.Policies), lab.AtLeast("sizes", 4, s.Sizes...),
		lab.Distinct("sizes", s.Sizes...),
		lab.AtLeast("repetitions", 1, s.Timed), lab.AtLeast("context", layers.MinContext, s.Context),
		lab.AtLeast("chunk", layers.MinContext, s.Chunk),
		lab.AtLeast("entries", 1, s.Entries), lab.AtLeast("pairs", 1, s.Pairs),
		lab.AtLeast("paper_samples", 1, s.PaperSamples),
		lab.AtLeast("strict_samples", 1, s.StrictSamples), lab.AtLeast("needles", 1, s.Needles),
		lab.AtLeast("paper_stream", s.Chunk, s.PaperStream),
		lab.AtLeast("strict_stream", s.Chunk, s.StrictStream))
}

// Validate names the first setting that no model allows.
func (s pressureSettings) Validate() error {
	return cmp.Or(knownPolicies("policies", s.Policies), knownPolicies("tiered", s.Tiered),
		lab.Contexts("contexts", s.Contexts...),
		lab.AtLeast("samples", 1, s.Samples),
		lab.AtLeast("needles", 1, s.Needles), lab.AtLeast("chunk", layers.MinContext, s.Chunk),
		lab.Within("budget", 0, 1, s.Budget))
}
