package main

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/eviction"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

func baeeGridCommand() *cli.Command {
	d := eviction.DefaultGrid()
	protocols := make([]string, len(d.Protocols))
	for i, p := range d.Protocols {
		protocols[i] = string(p)
	}
	return &cli.Command{
		Name:        "baee-grid",
		Usage:       "compare eviction policies by what they keep, over budgets, lengths, places of the target and seeds",
		Description: helpText("baee-grid"),
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "policies", Usage: "`NAME`s of policies", Value: cli.NewStringSlice(d.Policies...)},
			&cli.Float64SliceFlag{Name: "budgets", Usage: "`PART`s of all slots written that may be kept",
				Value: cli.NewFloat64Slice(d.Budgets...)},
			&cli.StringSliceFlag{Name: "positions", Usage: "`PLACE`s of the target: early, late, anywhere",
				Value: cli.NewStringSlice(d.Positions...)},
			&cli.Uint64SliceFlag{Name: "seeds", Usage: "`SEED`s of the samples", Value: cli.NewUint64Slice(d.Seeds...)},
			&cli.IntSliceFlag{Name: "contexts", Usage: "`LENGTH`s of streams in tokens", Value: cli.NewIntSlice(d.Contexts...)},
			&cli.IntFlag{Name: "samples", Usage: "streams of a cell", Value: d.Samples},
			&cli.StringSliceFlag{Name: "protocol", Usage: "`NAME`s of protocols: paper, strict",
				Value: cli.NewStringSlice(protocols...)},
			&cli.IntFlag{Name: "chunk-size", Usage: "`TOKENS` that are read at a time", Value: d.Chunk},
			&cli.BoolFlag{Name: "headline", Usage: "run the case of the README as well: 8,192 tokens, 10% budget, early",
				Value: d.Headline},
			&cli.StringFlag{Name: "classifier", Usage: "retention classifier `FILE` for policy baee", Value: baeeDir + "/" +
				lab.ClassifierFile},
			&cli.StringFlag{Name: "head", Usage: "Locret-style head `FILE` for policy locret_proxy", Value: baeeDir + "/" +
				lab.HeadFile},
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
	base, err := pretrainedBase(c)
	if err != nil {
		return err
	}
	conf := eviction.GridConfig{
		Policies: c.StringSlice("policies"), Budgets: c.Float64Slice("budgets"), Positions: c.StringSlice("positions"),
		Seeds: c.Uint64Slice("seeds"), Contexts: c.IntSlice("contexts"), Samples: c.Int("samples"),
		Chunk: c.Int("chunk-size"), Headline: c.Bool("headline"),
		SampleKeys: tasks.CurrentKeys,
	}
	for _, p := range c.StringSlice("protocol") {
		conf.Protocols = append(conf.Protocols, baee.Protocol(p))
	}
	output := c.String("output")
	e, err := eviction.NewGrid(conf, base, c.String("classifier"), c.String("head"), output, environment())
	if err != nil {
		return err
	}
	if err := checkDemands(c, nil, conf, e.Base.Config); err != nil {
		return err
	}
	p := newProgress(c.App.ErrWriter)
	warn(p, e.Note)
	e.Report = func(k eviction.GridCell, before bool, done, total int) {
		note := ""
		if before {
			note = "  done before"
		}
		p.Line("[%d/%d] %s  ctx %d  budget %g%%  %s  seed %d  %s  kept %d/%d%s", done, total, k.Protocol, k.Context,
			100*k.Budget, k.Position, k.Seed, k.Policy, k.Retention.Correct, k.Retention.N, note)
	}
	r, err := e.Run(c.Context)
	if err != nil && c.Err() != nil {
		return fmt.Errorf("%w; what is finished is in %s: the same command continues", err, output)
	}
	if err != nil {
		return err
	}
	return printBAEEGrid(c, r)
}

// printBAEEGrid prints the retention of every policy in every case, the published one beside it, and then over all
// cases.
func printBAEEGrid(c *cli.Context, r *eviction.GridResult) error {
	w := &firstError{w: c.App.Writer}
	rows := [][]string{{"protocol", "context", "budget", "target", "policy", "retention", "95% interval", "published",
		"accuracy"}}
	for _, s := range r.Summary {
		rows = append(rows, []string{string(s.Protocol), strconv.Itoa(s.Context), fmt.Sprintf("%g%%", 100*s.Budget),
			s.Position, s.Policy,
			meanStdText(result.MeanStd{Mean: s.Mean, Std: s.Std}, s.Seeds),
			fmt.Sprintf("[%.3f, %.3f]", s.Pooled.Low, s.Pooled.High),
			publishedText(s.Published), fmt.Sprintf("%.3f", s.Accuracy.Mean)})
	}
	w.printf("retention: mean ± std over seeds (without ± it is of one), interval over all samples\n")
	if err := writeTable(w, 5, rows...); err != nil {
		return err
	}
	rows = [][]string{{"protocol", "policy", "target", "cells", "retention"}}
	for _, o := range r.Overall {
		rows = append(rows, []string{string(o.Protocol), o.Policy, o.Position, strconv.Itoa(o.Cells),
			accuracyText(o.Retention)})
	}
	w.printf("\nover all cells but those of %d tokens\n", eviction.HeadlineContext)
	if err := writeTable(w, 3, rows...); err != nil {
		return err
	}
	w.printf("\nresults are in %s\n", foreign.Path(filepath.Clean(c.String("output"))))
	return w.err
}
