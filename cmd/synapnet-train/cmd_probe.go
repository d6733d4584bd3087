package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/measure"
)

// probeCommand is the part of an experiment, or of bench, that runs in a process of its own. It is not for users.
func probeCommand() *cli.Command {
	return &cli.Command{
		Name:   measure.ProbeCommand,
		Usage:  "one measurement, told on the standard input",
		Hidden: true,
		Action: func(c *cli.Context) error { return experiments.RunProbe(c.Context, os.Stdin, c.App.Writer) },
	}
}
