package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/cajq"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

func cajqCommand() *cli.Command {
	d := defaultCAJQ()
	return &cli.Command{
		Name:        "cajq-qat",
		Usage:       "quantise a pretrained model in every way, train through the quantisers, and compare over seeds",
		Description: helpText("cajq-qat", "{variantList}", variantList()),
		Flags: append(settingsFlags(cajqFlags(&d)),
			&cli.StringFlag{Name: "config", Usage: "TOML `FILE` with these and further settings, see configs/cajq-qat.toml"},
			checkpointFlag(),
			&cli.StringFlag{Name: "output", Usage: "result `FILE`", Value: "runs/cajq/cajq-qat.json"},
			&cli.StringFlag{Name: "save",
				Usage: "`FOLDER` in which the variants that train are kept: VARIANT-SEED.safetensors for export, and " +
					"VARIANT-SEED.packed.safetensors, its packed bytes, for eval, stream and inspect"},
			threadsFlag(),
		),
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

func defaultCAJQ() cajq.Settings {
	return cajq.QATExperiment().Settings(lab.Full).(cajq.Settings)
}

// cajqFlags are the settings that have flags, in the order of the help text.
func cajqFlags(s *cajq.Settings) []setting {
	return []setting{
		{"seeds", "`SEED`s, a run of every variant each", &s.Seeds},
		{"context-lengths", "`LENGTH`s in tokens to evaluate at", &s.Contexts},
		{"variants", "`NAME`s of variants", &s.Variants},
		{"samples", "evaluation samples of each single task", &s.Samples},
		{"qat-steps", "training steps of the variants that train", &s.Experiment.Finetune.Steps},
		{"qat-ctx", "context length in training, tokens", &s.Experiment.Finetune.Context},
		{"qat-batch", "samples a training step", &s.Experiment.Finetune.Batch},
	}
}

// cajqSettings puts the defaults, the configuration file and the flags together.
func cajqSettings(c *cli.Context) (cajq.Settings, error) {
	s := defaultCAJQ()
	if err := configure(c, &s.Config); err != nil {
		return s, err
	}
	override(c, cajqFlags(&s)...)
	return s, nil
}

// checkKept refuses to keep variants in the place of files of another kind.
func checkKept(c *cli.Context, s cajq.Settings) error {
	dir := c.String("save")
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
		written = append(written, named{"--save", path, info, &output{flag: "save"}, of})
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
	settings, err := cajqSettings(c)
	if err != nil {
		return err
	}
	path, err := pretrainedBase(c)
	if err != nil {
		return err
	}
	fitted, err := fitTo(c, &settings, cajqFlags(&settings), path, fitCAJQ)
	if err != nil {
		return err
	}
	if err := checkOwn(c, &settings, cajqFlags(&settings), path, func(m layers.Config) error {
		return checkFinetuneMemory(c, settings.Experiment.Finetune, m)
	}); err != nil {
		return err
	}
	tell(c, fitted)
	if err := checkKept(c, settings); err != nil {
		return err
	}
	output := c.String("output")
	if err := (ownRun{
		experiment: cajq.ExperimentOf(settings), settings: settings, inputs: lab.ModelInputs(path), output: output,
		place:    output,
		keep:     c.String("save"),
		diverged: "set lower ones under [experiment.finetune] in a --config file, and give another --output",
	}).run(c, "results are in "+foreign.Path(output)); err != nil {
		return err
	}
	return nextOfCAJQ(c, settings, path)
}

// nextOfCAJQ suggests evaluating the first variant that was kept in packed form, or packing the model.
func nextOfCAJQ(c *cli.Context, s cajq.Settings, model string) error {
	variants, err := qat.LookupVariants(s.Variants...)
	if err != nil {
		return err
	}
	for _, v := range variants {
		_, name := cajq.KeptFiles(v.Name, s.Seeds[0])
		packed := filepath.Join(c.String("save"), name)
		if _, err := os.Stat(packed); err == nil && v.Trains && c.IsSet("save") {
			next(c, "eval", packed)
			return nil
		}
	}
	nextForm(c, model, false)
	return nil
}
