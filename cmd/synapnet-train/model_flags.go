package main

import (
	"strings"

	"github.com/synapnet/synapnet-train/layers"
	"github.com/urfave/cli/v2"
)

// modelFlags are the settings of a model that has no file yet.
func modelFlags() []cli.Flag {
	d := layers.Reference()
	return []cli.Flag{
		&cli.StringFlag{Name: "architecture", Usage: "`NAME` of " + strings.Join(layers.Architectures(), ", ") +
			"; the width and depth of a baseline are those that match the model's parameters", Value: d.Architecture.String()},
		&cli.IntFlag{Name: "dim", Usage: "width of the model", Value: d.Dim},
		&cli.IntFlag{Name: "depth", Usage: "number of blocks", Value: d.Depth},
		&cli.IntFlag{Name: "heads", Usage: "attention heads, a divisor of --dim", Value: d.Heads},
		&cli.IntFlag{Name: "vocab", Usage: "vocabulary size", Value: d.VocabSize},
		&cli.IntFlag{Name: "max-len", Usage: "positions of the model: its longest context", Value: d.MaxLen},
		&cli.IntFlag{Name: "num-classes", Usage: "classes of the tasks", Value: d.NumClasses},
		&cli.IntFlag{Name: "episodic-slots", Usage: "memory slots a block", Value: d.EpisodicSlots},
	}
}

// overrideModel sets what the user gave of modelFlags. Another architecture is matched to the parameters that the model
// would have as it is, with the task's dimensions that the user gave.
func overrideModel(c *cli.Context, m *layers.Config) error {
	override(c, "vocab", &m.VocabSize, c.Int)
	override(c, "max-len", &m.MaxLen, c.Int)
	override(c, "num-classes", &m.NumClasses, c.Int)
	if c.IsSet("architecture") {
		a, err := layers.ParseArchitecture(c.String("architecture"))
		if err != nil {
			return usagef(c, "--%v", err)
		}
		if *m, err = layers.MatchedConfig(a, *m); err != nil {
			return usagef(c, "%v", err)
		}
	}
	override(c, "dim", &m.Dim, c.Int)
	override(c, "depth", &m.Depth, c.Int)
	override(c, "heads", &m.Heads, c.Int)
	override(c, "episodic-slots", &m.EpisodicSlots, c.Int)
	return nil
}
