package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/cajq"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/qat"
)

func cajqCommand() *cli.Command {
	d := cajq.Default()
	return &cli.Command{
		Name:  "cajq-qat",
		Usage: "quantise a pretrained model in every way, train through the quantisers, and compare over seeds",
		Description: "Variants:\n" + variantList() +
			"Results are saved as each variant and seed finishes; a second call continues.",
		Flags: []cli.Flag{
			&cli.Uint64SliceFlag{Name: "seeds", Usage: "`SEED`s, a run of every variant each", Value: cli.NewUint64Slice(d.Seeds...)},
			&cli.IntSliceFlag{Name: "context-lengths", Usage: "`LENGTH`s in tokens to evaluate at", Value: cli.NewIntSlice(d.Contexts...)},
			&cli.StringSliceFlag{Name: "variants", Usage: "`NAME`s of variants", Value: cli.NewStringSlice(cajq.DefaultVariants()...)},
			&cli.IntFlag{Name: "samples", Usage: "evaluation samples of each single task", Value: d.Samples},
			&cli.IntFlag{Name: "qat-steps", Usage: "training steps of the variants that train", Value: d.Experiment.Finetune.Steps},
			&cli.IntFlag{Name: "qat-ctx", Usage: "context length in training, tokens", Value: d.Experiment.Finetune.Context},
			&cli.IntFlag{Name: "qat-batch", Usage: "samples a training step", Value: d.Experiment.Finetune.Batch},
			&cli.StringFlag{Name: "config", Usage: "TOML `FILE` with these and further settings, see configs/cajq-qat.toml"},
			&cli.StringFlag{Name: "checkpoint", Usage: "pretrained model `FILE`", Value: pretrainedModel},
			&cli.StringFlag{Name: "output", Usage: "result `FILE`", Value: "runs/cajq/cajq-qat.json"},
			&cli.StringFlag{Name: "keep-models", Usage: "`FOLDER` in which the variants that train are kept: VARIANT-SEED.safetensors for export, and VARIANT-SEED.packed.safetensors, its packed bytes, for eval, stream and inspect"},
			threadsFlag(),
		},
		Action: cajqQAT,
	}
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

// checkKept refuses to keep variants in the place of files of another kind.
func checkKept(c *cli.Context, s cajq.Settings) error {
	dir := c.String("keep-models")
	if dir == "" {
		return nil
	}
	variants, err := qat.LookupVariants(s.Variants...)
	if err != nil {
		return err
	}
	use := fileUses[c.Command.Name]
	written, err := use.written(c)
	if err != nil {
		return err
	}
	keep := func(name string, of kind) {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			info = nil
		}
		written = append(written, named{"--keep-models", path, info, &output{flag: "keep-models"}, of})
	}
	for _, v := range variants {
		for _, seed := range s.Seeds {
			model, packed := cajq.KeptFiles(v.Name, seed)
			if v.Trains {
				keep(model, trainedModels)
				keep(packed, packedModels)
			}
		}
	}
	return checkOutputs(c, use.read(c), written)
}

func cajqQAT(c *cli.Context) error {
	if err := useThreads(c); err != nil {
		return err
	}
	conf, err := cajqConfig(c)
	if err != nil {
		return err
	}
	settings := cajq.Settings{Config: conf, Variants: c.StringSlice("variants")}
	if _, err := qat.LookupVariants(settings.Variants...); err != nil {
		return usagef(c, "--variants: %v", err)
	}
	path, err := pretrainedBase(c)
	if err != nil {
		return err
	}
	if err := checkKept(c, settings); err != nil {
		return err
	}
	if err := checkCAJQMemory(c, conf, path); err != nil {
		return err
	}
	base, err := measure.LoadBase(path)
	if err != nil {
		return err
	}
	if err := settings.Check(base.Config); err != nil {
		return err
	}
	output := c.String("output")
	return ownRun{
		experiment: cajq.ExperimentOf(settings), settings: settings, inputs: lab.ModelInputs(path), output: output, place: output,
		keep: c.String("keep-models"), diverged: "set lower ones under [experiment.finetune] in a --config file, and give another --output",
	}.run(c, "results are in "+foreign.Path(output))
}
