package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/experiments/eviction"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/shell"
)

// Where baee-train leaves its networks and baee-grid looks for them.
const baeeDir = "runs/baee"

func baeeTrainCommand() *cli.Command {
	d := eviction.DefaultTrain()
	return &cli.Command{
		Name:  "baee-train",
		Usage: "train the retention classifier on what matters later, over seeds, learning rates and label noise",
		Description: helpText("baee-train", "{ClassifierFile}", lab.ClassifierFile, "{AttentionClassifierFile}",
			eviction.AttentionClassifierFile, "{HeadFile}", lab.HeadFile, "{TrainFile}", eviction.TrainFile),
		Flags: []cli.Flag{
			&cli.Uint64SliceFlag{Name: "seeds", Usage: "`SEED`s of weights, split and noise",
				Value: cli.NewUint64Slice(d.Seeds...)},
			&cli.Float64SliceFlag{Name: "learning-rates", Usage: "learning `RATE`s of training on standardised features",
				Value: cli.NewFloat64Slice(d.LearningRates...)},
			&cli.Float64SliceFlag{Name: "published-rates", Usage: "learning `RATE`s of the published training",
				Value: cli.NewFloat64Slice(d.PublishedRates...)},
			&cli.Float64SliceFlag{Name: "noise", Usage: "`PROBABILITY`s that a label is flipped",
				Value: cli.NewFloat64Slice(d.Noise...)},
			&cli.StringSliceFlag{Name: "tasks", Usage: "`NAME`s of tasks to stream, in equal parts",
				Value: cli.NewStringSlice(d.Tasks...)},
			&cli.IntFlag{Name: "sequences", Usage: "streams to collect from", Value: d.Sequences},
			&cli.IntFlag{Name: "context", Usage: "`TOKENS` of a stream", Value: d.Context},
			&cli.IntFlag{Name: "chunk-size", Usage: "`TOKENS` that are read at a time", Value: d.Chunk},
			&cli.IntFlag{Name: "examples", Usage: "examples taken of a layer after a chunk, at most", Value: d.PerDecision},
			&cli.IntFlag{Name: "steps", Usage: "training steps", Value: d.Steps},
			&cli.IntFlag{Name: "paper-sequences", Usage: "samples of the published protocol", Value: d.PaperSequences},
			&cli.IntFlag{Name: "paper-context", Usage: "`TOKENS` of such a sample", Value: d.PaperContext},
			&cli.IntFlag{Name: "paper-steps", Usage: "training steps of the published protocol", Value: d.PaperSteps},
			&cli.IntFlag{Name: "batch-size", Usage: "examples a step", Value: d.Batch},
			&cli.IntFlag{Name: "hidden", Usage: "width of the hidden layers", Value: d.Hidden},
			&cli.Uint64Flag{Name: "data-seed", Usage: "seed of the samples", Value: d.DataSeed},
			&cli.StringFlag{Name: "checkpoint", Usage: "pretrained model `FILE`", Value: pretrainedModel},
			&cli.StringFlag{Name: "output-dir", Usage: "`FOLDER` of result, classifier and head", Value: baeeDir},
			threadsFlag(),
		},
		Action: baeeTrain,
	}
}

func baeeTrain(c *cli.Context) error {
	if err := useThreads(c); err != nil {
		return err
	}
	for _, name := range c.StringSlice("tasks") {
		if _, err := tasks.Lookup(name); err != nil {
			return usagef(c, "--tasks: %v ('%s' lists them)", err, shell.CommandLine("eval", "--list"))
		}
	}
	base, err := pretrainedBase(c)
	if err != nil {
		return err
	}
	conf := eviction.TrainConfig{
		Seeds: c.Uint64Slice("seeds"), LearningRates: c.Float64Slice("learning-rates"),
		PublishedRates: c.Float64Slice("published-rates"), Noise: c.Float64Slice("noise"),
		Tasks: c.StringSlice("tasks"), Sequences: c.Int("sequences"), Context: c.Int("context"), Chunk: c.Int("chunk-size"),
		PerDecision: c.Int("examples"), Steps: c.Int("steps"), PaperSequences: c.Int("paper-sequences"),
		PaperContext: c.Int("paper-context"),
		PaperSteps:   c.Int("paper-steps"), Batch: c.Int("batch-size"), Hidden: c.Int("hidden"),
		DataSeed:   c.Uint64("data-seed"),
		SampleKeys: tasks.CurrentKeys,
	}
	dir := c.String("output-dir")
	e, err := eviction.NewTraining(conf, base, dir, environment())
	if err != nil {
		return err
	}
	if err := checkDemands(c, baeeTrainFlags, conf, e.Base.Config); err != nil {
		return err
	}
	p := newProgress(c.App.ErrWriter)
	warn(p, e.Note)
	e.Report = eviction.TrainHooks{
		Collect: func(protocol baee.Protocol, sequences, context int) {
			p.Line("%s: collecting from %d sequences of %d tokens", protocol, sequences, context)
		},
		Data: func(protocol baee.Protocol, examples, positives int) {
			p.Line("%s: %s examples, %s positive", protocol, grouped(examples), grouped(positives))
		},
		Cell: func(k eviction.TrainCell, before bool, done, total int) {
			note := ""
			if before {
				note = "  done before"
			}
			p.Line("[%d/%d] %s %s  lr %g  noise %g  seed %d  AUC %.4f%s", done, total, k.Protocol, k.Network, k.LR, k.Noise,
				k.Seed, k.AUC, note)
		},
	}
	r, err := e.Run(c.Context)
	if err != nil && c.Err() != nil {
		return fmt.Errorf("%w; what is finished is in %s: the same command continues", err, dir)
	}
	if errors.Is(err, train.ErrDiverged) {
		return fmt.Errorf("%w; leave that rate out of --learning-rates and --published-rates, and give another --output-dir",
			err)
	}
	if err != nil {
		return err
	}
	return printBAEETrain(c, r)
}

// pretrainedBase is --checkpoint, with a word on the mend if it is not there.
func pretrainedBase(c *cli.Context) (string, error) {
	base := c.String("checkpoint")
	_, err := os.Stat(base)
	switch {
	case err == nil:
		return base, nil
	case c.IsSet("checkpoint"):
		return "", fmt.Errorf("--checkpoint: %w; name the model.safetensors of a pretraining run", err)
	}
	return "", fmt.Errorf("there is no pretrained model %s: make one with '%s', or name another with --checkpoint",
		base, shell.CommandLine("pretrain", "--curriculum", "512", "1024", "--output-dir", "results/pretrain"))
}

func printBAEETrain(c *cli.Context, r *eviction.TrainResult) error {
	w := &firstError{w: c.App.Writer}
	rows := [][]string{{"protocol", "network", "lr", "noise", "seeds", "AUC", "published", "salience alone", "use alone"}}
	for _, s := range r.Summary {
		salience, use := meanStdText(s.Salience, s.Seeds), meanStdText(s.Use, s.Seeds)
		if s.Network == eviction.HeadNetwork {
			salience, use = "-", "-"
		}
		rows = append(rows, []string{string(s.Protocol), s.Network, fmt.Sprintf("%g", s.LR), fmt.Sprintf("%g", s.Noise),
			strconv.Itoa(s.Seeds),
			meanStdText(s.AUC, s.Seeds), publishedText(s.Published), salience, use})
	}
	if err := writeTable(w, 2, rows...); err != nil {
		return err
	}
	dir := c.String("output-dir")
	w.printf("ROC-AUC on held-out examples, mean ± std over seeds; without ± it is of one seed\n")
	w.printf("%s (network %s), %s (%s) and %s are the strict trainings at the learning rate with the best mean AUC; all "+
		"are in %s\n",
		lab.ClassifierFile, eviction.NeedleNetwork, eviction.AttentionClassifierFile, eviction.RetentionNetwork, lab.HeadFile,
		foreign.Path(filepath.Clean(dir)))
	return w.err
}
