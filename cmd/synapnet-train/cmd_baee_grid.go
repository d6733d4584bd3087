package main

import (
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/eviction"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

func baeeGridCommand() *cli.Command {
	d := eviction.DefaultGrid()
	protocols := make([]string, len(d.Protocols))
	for i, p := range d.Protocols {
		protocols[i] = string(p)
	}
	return &cli.Command{
		Name:  "baee-grid",
		Usage: "compare eviction policies by what they keep, over budgets, lengths, places of the target and seeds",
		Description: "A cell is one policy on --samples streams: how often an entry written at the target's key is still held at the end.\n" +
			"The published grid has 432 cells; they are run in the paper protocol, and in the strict one with newer rivals.\n" +
			"Results are saved as each case finishes; a second call continues.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "policies", Usage: "`NAME`s of policies", Value: cli.NewStringSlice(d.Policies...)},
			&cli.Float64SliceFlag{Name: "budgets", Usage: "`PART`s of all slots written that may be kept", Value: cli.NewFloat64Slice(d.Budgets...)},
			&cli.StringSliceFlag{Name: "positions", Usage: "`PLACE`s of the target: early, late, anywhere", Value: cli.NewStringSlice(d.Positions...)},
			&cli.Uint64SliceFlag{Name: "seeds", Usage: "`SEED`s of the samples", Value: cli.NewUint64Slice(d.Seeds...)},
			&cli.IntSliceFlag{Name: "contexts", Usage: "`LENGTH`s of streams in tokens", Value: cli.NewIntSlice(d.Contexts...)},
			&cli.IntFlag{Name: "samples", Usage: "streams of a cell", Value: d.Samples},
			&cli.StringSliceFlag{Name: "protocol", Usage: "`NAME`s of protocols: paper, strict", Value: cli.NewStringSlice(protocols...)},
			&cli.IntFlag{Name: "chunk-size", Usage: "`TOKENS` that are read at a time", Value: d.Chunk},
			&cli.BoolFlag{Name: "headline", Usage: "run the case of the README as well: 8,192 tokens, 10% budget, early", Value: d.Headline},
			&cli.StringFlag{Name: "classifier", Usage: "retention classifier `FILE` for policy baee", Value: baeeDir + "/" + lab.ClassifierFile},
			&cli.StringFlag{Name: "head", Usage: "Locret-style head `FILE` for policy locret_proxy", Value: baeeDir + "/" + lab.HeadFile},
			&cli.StringFlag{Name: "checkpoint", Usage: "pretrained model `FILE`", Value: pretrainedModel},
			&cli.StringFlag{Name: "output", Usage: "result `FILE`", Value: baeeDir + "/baee-grid.json"},
			threadsFlag(),
		},
		Action: baeeGrid,
	}
}

func baeeGrid(c *cli.Context) error {
	if err := useThreads(c); err != nil {
		return err
	}
	for _, name := range c.StringSlice("policies") {
		if _, err := policy.Lookup(name); err != nil {
			return usagef(c, "--policies: %v", err)
		}
	}
	path, err := pretrainedBase(c)
	if err != nil {
		return err
	}
	conf := eviction.GridConfig{
		Policies: c.StringSlice("policies"), Budgets: c.Float64Slice("budgets"), Positions: c.StringSlice("positions"),
		Seeds: c.Uint64Slice("seeds"), Contexts: c.IntSlice("contexts"), Samples: c.Int("samples"), Chunk: c.Int("chunk-size"), Headline: c.Bool("headline"),
		SampleKeys: tasks.CurrentKeys,
	}
	for _, p := range c.StringSlice("protocol") {
		conf.Protocols = append(conf.Protocols, baee.Protocol(p))
	}
	if err := checkOwn(c, nil, conf, path); err != nil {
		return err
	}
	inputs, err := conf.Inputs(path, c.String("classifier"), c.String("head"))
	if err != nil {
		return err
	}
	output := c.String("output")
	return ownRun{
		experiment: eviction.GridExperiment(), settings: conf, inputs: inputs, output: output, place: output,
	}.run(c, "results are in "+foreign.Path(filepath.Clean(output)))
}
