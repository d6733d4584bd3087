package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/experiments/cajq"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/qat"
)

func cajqCommand() *cli.Command {
	d := cajq.Default()
	return &cli.Command{
		Name:        "cajq-qat",
		Usage:       "quantise a pretrained model in every way, train through the quantisers, and compare over seeds",
		Description: helpText("cajq-qat", "{variantList}", variantList()),
		Flags: []cli.Flag{
			&cli.Uint64SliceFlag{Name: "seeds", Usage: "`SEED`s, a run of every variant each",
				Value: cli.NewUint64Slice(d.Seeds...)},
			&cli.IntSliceFlag{Name: "context-lengths", Usage: "`LENGTH`s in tokens to evaluate at",
				Value: cli.NewIntSlice(d.Contexts...)},
			&cli.StringSliceFlag{Name: "variants", Usage: "`NAME`s of variants",
				Value: cli.NewStringSlice(defaultVariants()...)},
			&cli.IntFlag{Name: "samples", Usage: "evaluation samples of each single task", Value: d.Samples},
			&cli.IntFlag{Name: "qat-steps", Usage: "training steps of the variants that train",
				Value: d.Experiment.Finetune.Steps},
			&cli.IntFlag{Name: "qat-ctx", Usage: "context length in training, tokens", Value: d.Experiment.Finetune.Context},
			&cli.IntFlag{Name: "qat-batch", Usage: "samples a training step", Value: d.Experiment.Finetune.Batch},
			&cli.StringFlag{Name: "config", Usage: "TOML `FILE` with these and further settings, see configs/cajq-qat.toml"},
			&cli.StringFlag{Name: "checkpoint", Usage: "pretrained model `FILE`", Value: pretrainedModel},
			&cli.StringFlag{Name: "output", Usage: "result `FILE`", Value: "runs/cajq/cajq-qat.json"},
			threadsFlag(),
		},
		Action: cajqQAT,
	}
}

// defaultVariants are the published ones and their control.
func defaultVariants() []string {
	var names []string
	for _, v := range qat.Variants() {
		if v.Paper || v.Name == qat.FP16Finetuned {
			names = append(names, v.Name)
		}
	}
	return names
}

func variantList() string {
	var b strings.Builder
	for _, v := range qat.Variants() {
		_, _ = fmt.Fprintf(&b, "  %-20s %s\n", v.Name, v.About)
	}
	return b.String()
}

func cajqConfig(c *cli.Context) (cajq.Config, error) {
	conf := cajq.Default()
	if path := c.String("config"); path != "" {
		if err := loadConfig(path, &conf); err != nil {
			return conf, &usageError{message: err.Error(), command: commandName(c)}
		}
	}
	override(c, "seeds", &conf.Seeds, c.Uint64Slice)
	override(c, "context-lengths", &conf.Contexts, c.IntSlice)
	override(c, "samples", &conf.Samples, c.Int)
	if err := cmp.Or(lab.Once("--seeds:", conf.Seeds), lab.Once("--context-lengths:", conf.Contexts)); err != nil {
		return conf, usagef(c, "%v", err)
	}
	override(c, "qat-steps", &conf.Experiment.Finetune.Steps, c.Int)
	override(c, "qat-ctx", &conf.Experiment.Finetune.Context, c.Int)
	override(c, "qat-batch", &conf.Experiment.Finetune.Batch, c.Int)
	return conf, nil
}

func cajqQAT(c *cli.Context) error {
	if err := useThreads(c); err != nil {
		return err
	}
	conf, err := cajqConfig(c)
	if err != nil {
		return err
	}
	variants, err := qat.LookupVariants(c.StringSlice("variants")...)
	if err != nil {
		return usagef(c, "--variants: %v", err)
	}
	base, err := pretrainedBase(c)
	if err != nil {
		return err
	}
	if err := checkCAJQMemory(c, conf, base); err != nil {
		return err
	}
	e, err := cajq.New(conf, variants, base, c.String("output"), environment())
	if err != nil {
		return err
	}
	p := newProgress(c.App.ErrWriter)
	warn(p, e.Note)
	reportCAJQ(e, p)
	r, err := e.Run(c.Context)
	if errors.Is(err, train.ErrInterrupted) || c.Err() != nil && err != nil {
		return fmt.Errorf("%w; what is finished is in %s: the same command continues", err, c.String("output"))
	}
	if errors.Is(err, train.ErrDiverged) {
		return fmt.Errorf("%w; set lower ones under [experiment.finetune] in a --config file, and give another --output", err)
	}
	if err != nil {
		return err
	}
	return printCAJQ(c, r)
}

// reportCAJQ tells how the experiment goes.
func reportCAJQ(e *cajq.Comparison, p *progress) {
	var last time.Time // of the step before
	tokens := float64(e.Config.Experiment.Finetune.Batch * e.Config.Experiment.Finetune.Context)
	e.Report = cajq.Hooks{
		Begin: func(variant string, seed uint64, run, runs int) {
			p.Line("[%d/%d] %s, seed %d", run, runs, variant, seed)
			last = time.Time{}
		},
		Warn:    func(line string) { warn(p, line) },
		Skipped: func(variant string, seed uint64) { p.Line("%s, seed %d: done before", variant, seed) },
		Step: func(s qat.Step, steps int) {
			speed := math.NaN() // not known of the first step
			if last.IsZero() {
				p.Start(steps)
				p.Resume(s.Step - 1)
			} else {
				speed = tokens / time.Since(last).Seconds()
			}
			last = time.Now()
			p.Step(s.Step, s.Loss, math.NaN(), speed)
			if s.Step == steps {
				p.Finish()
			}
		},
		Accuracy: func(context int, packed bool, accuracy map[string]curriculum.Accuracy) {
			line := fmt.Sprintf("  ctx %d", context)
			if packed {
				line += ", from the packed bytes"
			}
			for _, m := range measure.Metrics() {
				line += fmt.Sprintf("  %s %s", m, accuracyText(accuracy[m]))
			}
			p.Line("%s", line)
		},
	}
}

// printCAJQ prints every variant's accuracy over the seeds, the published one beside it, a table a metric.
func printCAJQ(c *cli.Context, r *cajq.Result) error {
	var b strings.Builder
	for _, metric := range measure.Metrics() {
		_, _ = fmt.Fprintf(&b, "\n%s: mean ± std over seeds (without ± it is of one) [95%% interval of all samples] | "+
			"published\n", metric)
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		row, variant := "variant", ""
		for _, s := range r.Summary {
			if s.Metric == metric && s.Variant == r.Summary[0].Variant {
				row += "\tctx " + strconv.Itoa(s.Context)
			}
		}
		for _, s := range r.Summary {
			if s.Metric != metric {
				continue
			}
			if s.Variant != variant {
				_, _ = fmt.Fprintln(table, row)
				variant, row = s.Variant, s.Variant
			}
			row += fmt.Sprintf("\t%s [%.3f, %.3f] | %s", meanStdText(result.MeanStd{Mean: s.Mean, Std: s.Std}, s.Seeds),
				s.Pooled.Low, s.Pooled.High, publishedText(s.Published))
		}
		_, _ = fmt.Fprintln(table, row)
		if err := table.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(c.App.Writer, "%s\nresults are in %s\n", strings.TrimPrefix(b.String(), "\n"),
		foreign.Path(c.String("output")))
	return err
}

// publishedText is a published figure; its standard deviation is 0 where the paper gives none.
func publishedText(p *result.MeanStd) string {
	switch {
	case p == nil:
		return "-"
	case p.Std == 0:
		return meanStdText(*p, 1)
	}
	return meanStdText(*p, 2)
}

// meanStdText is a mean over n seeds with its standard deviation, which a single seed does not have.
func meanStdText(m result.MeanStd, n int) string {
	if n < 2 {
		return fmt.Sprintf("%.3f", m.Mean)
	}
	return fmt.Sprintf("%.3f ± %.3f", m.Mean, m.Std)
}
