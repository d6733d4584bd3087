package main

import (
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/experiments/eviction"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
)

func baeeGridCommand() *cli.Command {
	d := eviction.GridExperiment().Settings(lab.Full).(eviction.GridConfig)
	return &cli.Command{
		Name:        "baee-grid",
		Usage:       "compare eviction policies by what they keep, over budgets, lengths, places of the target and seeds",
		Description: helpText("baee-grid"),
		Flags: append(settingsFlags(gridSettings(&d)),
			&cli.StringSliceFlag{Name: "protocol", Usage: "`NAME`s of protocols: paper, strict",
				Value: cli.NewStringSlice(string(baee.Paper), string(baee.Strict))},
			&cli.StringFlag{Name: "classifier", Usage: "retention classifier `FILE` for policy baee", Value: baeeDir + "/" +
				lab.ClassifierFile},
			&cli.StringFlag{Name: "head", Usage: "Locret-style head `FILE` for policy locret_proxy", Value: baeeDir + "/" +
				lab.HeadFile},
			checkpointFlag(),
			&cli.StringFlag{Name: "output", Usage: "result `FILE`", Value: baeeDir + "/baee-grid.json"},
			threadsFlag(),
		),
		Action: baeeGrid,
	}
}

// gridSettings are the settings that have flags, in the order of the help text.
func gridSettings(s *eviction.GridConfig) []setting {
	return []setting{
		{"policies", "`NAME`s of policies", &s.Policies},
		{"budgets", "`PART`s of all slots written that may be kept", &s.Budgets},
		{"positions", "`PLACE`s of the target: early, late, anywhere", &s.Positions},
		{"seeds", "`SEED`s of the samples", &s.Seeds},
		{"contexts", "`LENGTH`s of streams in tokens", &s.Contexts},
		{"samples", "streams of a cell", &s.Samples},
		{"chunk-size", "`TOKENS` that are read at a time", &s.Chunk},
		{"headline", "run the case of the README as well: 8,192 tokens, 10% budget, early", &s.Headline},
	}
}

func baeeGrid(c *cli.Context) error {
	conf := eviction.GridExperiment().Settings(lab.Full).(eviction.GridConfig)
	override(c, gridSettings(&conf)...)
	path, err := pretrainedBase(c)
	if err != nil {
		return err
	}
	conf.Protocols = nil
	for _, p := range c.StringSlice("protocol") {
		conf.Protocols = append(conf.Protocols, baee.Protocol(p))
	}
	flags := append(gridSettings(&conf), setting{"protocol", "", &conf.Protocols})
	fitted, err := fitTo(c, &conf, flags, path, fitGrid)
	if err != nil {
		return err
	}
	if err := checkOwn(c, &conf, flags, path, func(m layers.Config) error {
		return checkDemands(c, &conf, flags, conf.Demands, m)
	}); err != nil {
		return err
	}
	tell(c, fitted)
	inputs, err := conf.Inputs(path, c.String("classifier"), c.String("head"))
	if err != nil {
		return err
	}
	output := c.String("output")
	if err := (ownRun{
		experiment: eviction.GridExperiment(), settings: conf, inputs: inputs, output: output, place: output,
	}).run(c, "results are in "+foreign.Path(filepath.Clean(output))); err != nil {
		return err
	}
	words := []string{"stream", path, "--random-tokens", tried}
	if network := c.String("classifier"); slices.Contains(conf.Policies, "baee") &&
		slices.Contains(conf.Protocols, baee.Strict) { // it was read
		words = append(words, "--classifier", network)
	}
	next(c, words...)
	return nil
}
