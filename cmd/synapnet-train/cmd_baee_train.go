package main

import (
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/eviction"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
)

// Where baee-train leaves its networks and baee-grid looks for them.
const baeeDir = "runs/baee"

func baeeTrainCommand() *cli.Command {
	d := eviction.TrainExperiment().Settings(lab.Full).(eviction.TrainConfig)
	return &cli.Command{
		Name:  "baee-train",
		Usage: "train the retention classifier on what matters later, over seeds, learning rates and label noise",
		Description: helpText("baee-train", "{ClassifierFile}", lab.ClassifierFile, "{AttentionClassifierFile}",
			eviction.AttentionClassifierFile, "{HeadFile}", lab.HeadFile, "{TrainFile}", eviction.TrainFile),
		Flags: append(settingsFlags(trainSettings(&d)),
			checkpointFlag(),
			&cli.StringFlag{Name: "output-dir", Usage: "`FOLDER` of result, classifier and head", Value: baeeDir},
			threadsFlag(),
		),
		Action: baeeTrain,
	}
}

// trainSettings are the settings that have flags, in the order of the help text.
func trainSettings(s *eviction.TrainConfig) []setting {
	return []setting{
		{"seeds", "`SEED`s of weights, split and noise", &s.Seeds},
		{"learning-rates", "learning `RATE`s of training on standardised features", &s.LearningRates},
		{"published-rates", "learning `RATE`s of the published training", &s.PublishedRates},
		{"noise", "`PROBABILITY`s that a label is flipped", &s.Noise},
		{"tasks", "`NAME`s of tasks to stream, in equal parts", &s.Tasks},
		{"sequences", "streams to collect from", &s.Sequences},
		{"context", "`TOKENS` of a stream", &s.Context},
		{"chunk-size", "`TOKENS` that are read at a time", &s.Chunk},
		{"examples", "examples taken of a layer after a chunk, at most", &s.PerDecision},
		{"steps", "training steps", &s.Steps},
		{"paper-sequences", "samples of the published protocol", &s.PaperSequences},
		{"paper-context", "`TOKENS` of such a sample", &s.PaperContext},
		{"paper-steps", "training steps of the published protocol", &s.PaperSteps},
		{"batch-size", "examples a step", &s.Batch},
		{"hidden", "width of the hidden layers", &s.Hidden},
		{"data-seed", "seed of the samples", &s.DataSeed},
	}
}

func baeeTrain(c *cli.Context) error {
	conf := eviction.TrainExperiment().Settings(lab.Full).(eviction.TrainConfig)
	flags := trainSettings(&conf)
	override(c, flags...)
	path, err := pretrainedBase(c)
	if err != nil {
		return err
	}
	fitted, err := fitTo(c, &conf, flags, path, fitClassifier)
	if err != nil {
		return err
	}
	dir := c.String("output-dir")
	if err := checkOwn(c, &conf, flags, path, func(m layers.Config) error {
		return checkDemands(c, &conf, flags, conf.Demands, m)
	}); err != nil {
		return err
	}
	tell(c, fitted)
	if err := eviction.CheckFolder(dir); err != nil {
		return err
	}
	if err := (ownRun{
		experiment: eviction.TrainExperiment(), settings: conf, inputs: lab.ModelInputs(path),
		output: filepath.Join(dir, eviction.TrainFile),
		place:  dir, diverged: "leave that rate out of --learning-rates and --published-rates, and give another --output-dir",
	}).run(c,
		fmt.Sprintf("%s (network %s), %s (%s) and %s are the strict trainings at the learning rate with the best mean AUC; "+
			"all are in %s",
			lab.ClassifierFile, eviction.NeedleNetwork, eviction.AttentionClassifierFile, eviction.RetentionNetwork,
			lab.HeadFile,
			foreign.Path(filepath.Clean(dir)))); err != nil {
		return err
	}
	next(c, "baee-grid", "--checkpoint", path, "--classifier", filepath.Join(dir, lab.ClassifierFile), "--head",
		filepath.Join(dir, lab.HeadFile))
	return nil
}
