package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/layers"
)

// modelSettings are the settings of a model that has no file yet.
func modelSettings(m *layers.Config) []setting {
	return []setting{
		{"architecture", "`NAME` of " + strings.Join(layers.Architectures(), ", ") +
			"; the width and depth of a baseline, unless flags give them, are those that match the parameters of the " +
			"model of --config", &m.Architecture},
		{"dim", "width of the model", &m.Dim},
		{"depth", "number of blocks", &m.Depth},
		{"heads", "attention heads, a divisor of --dim", &m.Heads},
		{"vocab", "vocabulary size", &m.VocabSize},
		{"max-len", "positions of the model: its longest context", &m.MaxLen},
		{"num-classes", "classes of the tasks", &m.NumClasses},
		{"episodic-slots", "memory slots a block", &m.EpisodicSlots},
	}
}

// overrideModel sets what the user gave of modelSettings. Another architecture is matched to the parameters that the
// model would have as it is, with the task's dimensions that the user gave.
func overrideModel(c *cli.Context, m *layers.Config) error {
	given := *m
	override(c, modelSettings(&given)...)
	m.VocabSize, m.MaxLen, m.NumClasses = given.VocabSize, given.MaxLen, given.NumClasses
	if c.IsSet("architecture") {
		a, err := layers.ParseArchitecture(c.String("architecture"))
		if err != nil {
			return usagef(c, "--%v", err)
		}
		if *m, err = layers.MatchedConfig(a, *m); err != nil {
			return usagef(c, "--architecture %s: %v", a, err)
		}
	}
	override(c, modelSettings(m)[1:]...) // the architecture is set
	return nil
}
