package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
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
		Description: "It streams samples through the pretrained model, collects what every memory entry was like, how much attention it received\n" +
			"later and whether its token carries the answer, trains, and reports ROC-AUC on held-out sequences beside the published\n" +
			"figures and beside salience or use alone. It leaves " + lab.ClassifierFile + " (for policy baee: network needle, trained on\n" +
			"which tokens carry the answer), " + eviction.AttentionClassifierFile + " (network retention, trained on attention received in later\n" +
			"chunks; give it to baee-grid with --classifier), " + lab.HeadFile + " (for locret_proxy) and " + eviction.TrainFile + ".\n" +
			"Results are saved as each training finishes; a second call continues.",
		Flags: []cli.Flag{
			&cli.Uint64SliceFlag{Name: "seeds", Usage: "`SEED`s of weights, split and noise", Value: cli.NewUint64Slice(d.Seeds...)},
			&cli.Float64SliceFlag{Name: "learning-rates", Usage: "learning `RATE`s of training on standardised features", Value: cli.NewFloat64Slice(d.LearningRates...)},
			&cli.Float64SliceFlag{Name: "published-rates", Usage: "learning `RATE`s of the published training", Value: cli.NewFloat64Slice(d.PublishedRates...)},
			&cli.Float64SliceFlag{Name: "noise", Usage: "`PROBABILITY`s that a label is flipped", Value: cli.NewFloat64Slice(d.Noise...)},
			&cli.StringSliceFlag{Name: "tasks", Usage: "`NAME`s of tasks to stream, in equal parts", Value: cli.NewStringSlice(d.Tasks...)},
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
	path, err := pretrainedBase(c)
	if err != nil {
		return err
	}
	conf := eviction.TrainConfig{
		Seeds: c.Uint64Slice("seeds"), LearningRates: c.Float64Slice("learning-rates"), PublishedRates: c.Float64Slice("published-rates"), Noise: c.Float64Slice("noise"),
		Tasks: c.StringSlice("tasks"), Sequences: c.Int("sequences"), Context: c.Int("context"), Chunk: c.Int("chunk-size"),
		PerDecision: c.Int("examples"), Steps: c.Int("steps"), PaperSequences: c.Int("paper-sequences"), PaperContext: c.Int("paper-context"),
		PaperSteps: c.Int("paper-steps"), Batch: c.Int("batch-size"), Hidden: c.Int("hidden"), DataSeed: c.Uint64("data-seed"),
		SampleKeys: tasks.CurrentKeys,
	}
	dir := c.String("output-dir")
	if err := checkOwn(c, baeeTrainFlags, conf, path); err != nil {
		return err
	}
	if err := eviction.CheckFolder(dir); err != nil {
		return err
	}
	return ownRun{
		experiment: eviction.TrainExperiment(), settings: conf, inputs: lab.ModelInputs(path), output: filepath.Join(dir, eviction.TrainFile),
		place: dir, diverged: "leave that rate out of --learning-rates and --published-rates, and give another --output-dir",
	}.run(c, fmt.Sprintf("%s (network %s), %s (%s) and %s are the strict trainings at the learning rate with the best mean AUC; all are in %s",
		lab.ClassifierFile, eviction.NeedleNetwork, eviction.AttentionClassifierFile, eviction.RetentionNetwork, lab.HeadFile, foreign.Path(filepath.Clean(dir))))
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
