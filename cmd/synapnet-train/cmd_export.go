package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/layers/scheme"
	"github.com/synapnet/synapnet-train/qat"
)

func exportCommand() *cli.Command {
	d, tune := qat.DefaultOptions(), exportTraining()
	return &cli.Command{
		Name:        "export",
		Usage:       "quantise a model into a packed file, from which it runs",
		ArgsUsage:   "[MODEL.safetensors]",
		Description: helpText("export", "{targetNames}", targetNames()),
		Flags: slices.Concat([]cli.Flag{
			&cli.StringSliceFlag{Name: "targets",
				Usage: "`NAME`s of what to quantise, or all (default: ssm attention; of another architecture layers)"},
			&cli.StringFlag{Name: "output", Usage: "packed `FILE` to write",
				DefaultText: packedName("MODEL") + ", beside it"},
			&cli.BoolFlag{Name: "half",
				Usage: "quantise nothing: write the model in floating point, rounded to half precision, to " + halfName("MODEL")},
			&cli.BoolFlag{Name: "force", Usage: "replace --output if it exists"},
			&cli.IntFlag{Name: "calib-samples", Usage: "samples to calibrate attention on", Value: 32},
			&cli.IntFlag{Name: "calib-context", Usage: "their length in tokens", Value: 512},
			&cli.StringSliceFlag{Name: "data",
				Usage: "`FILE`s of samples to calibrate and train on, of a model that learnt from own data"},
			longSamplesFlag(),
			&cli.Uint64Flag{Name: "seed", Usage: "seed of the calibration samples", Value: 42},
		}, settingsFlags(optionSettings(&d)), []cli.Flag{
			&cli.StringSliceFlag{Name: "scheme",
				Usage: "`TARGET=NAME`: the scheme of a target's weights, in place of the default: " + schemeNames() +
					"; what it names is a target, beside --targets"},
		}, settingsFlags(exportTrainingSettings(&tune)), []cli.Flag{threadsFlag()}),
		Action: export,
	}
}

// optionSettings are the options that have flags of their own.
func optionSettings(o *qat.Options) []setting {
	return []setting{
		{"group-size", "inputs that share an INT4 scale", &o.GroupSize},
		{"salient-fraction", "share of attention's inputs kept in half precision", &o.SalientFraction},
		{"step-init", "2-bit steps: max (no weight is clipped) or mse (least squared error)", &o.StepInit},
		{"embedding-bits", "4 or 8, of target embeddings", &o.EmbeddingBits},
		{"head-bits", "4 or 8, of target head", &o.HeadBits},
	}
}

// exportTraining is the training before packing, none unless steps are given.
func exportTraining() qat.FinetuneConfig {
	tune := qat.DefaultFinetune()
	tune.Steps = 0
	return tune
}

// exportTrainingSettings are those of the training before packing that have flags.
func exportTrainingSettings(f *qat.FinetuneConfig) []setting {
	return []setting{
		{"qat-steps", "steps of training through the quantisers before they are packed, as cajq-qat does; 0: none", &f.Steps},
		{"qat-ctx", "context length in that training, tokens; of the default what the model has positions for", &f.Context},
		{"qat-batch", "samples a training step", &f.Batch},
		{"qat-lr", "its peak learning rate of the weights", &f.LR},
	}
}

func targetNames() string {
	var names []string
	for _, t := range append(qat.AllTargets(), qat.Layers) {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

// schemeNames lists the schemes that a packed file can hold.
func schemeNames() string {
	var names []string
	for _, s := range scheme.All() {
		if s.Form != nil {
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, ", ")
}

func export(c *cli.Context) error {
	if c.Args().Len() > 1 {
		return usagef(c, "%d files given: name the one model to export", c.Args().Len())
	}
	model, err := modelArgument(c)
	if err != nil {
		return err
	}
	if c.Bool("half") {
		return exportHalf(c, model)
	}
	output, err := exportOutput(c, packedName(model))
	if err != nil {
		return err
	}
	f, err := safetensors.Read(model)
	if err != nil {
		return err
	}
	var q *qat.Quantised
	if qat.HasQuantisers(f) {
		q, err = trainedForExport(c, model, f)
	} else {
		q, err = quantiseForExport(c, model, f)
	}
	if err != nil {
		return err
	}
	packed, err := q.PackedFile()
	if err != nil {
		return fmt.Errorf("%s: %w", model, err)
	}
	if err := safetensors.Write(output, packed); err != nil {
		return err
	}
	// What is told of the file is read from the file.
	r, err := inspectFile(output, "")
	if err != nil {
		return err
	}
	if _, err = fmt.Fprintf(c.App.Writer, "%s\n%s", foreign.Path(output), totals(r)); err != nil {
		return err
	}
	next(c, "inspect", output, "--against", model)
	if !c.IsSet("data") {
		next(c, "stream", output, "--random-tokens", tried)
		return nil
	}
	extra, err := layers.ReadExtra(output)
	if err != nil {
		return err
	}
	if reading, err := curriculum.ReadingOf(extra); err == nil && reading.EvalShare > 0 {
		next(c, append(append([]string{"eval", output, "--data"}, c.StringSlice("data")...), "--held-out")...)
	}
	return nil
}

// exportHalf writes a model in floating point in half precision.
func exportHalf(c *cli.Context, model string) error {
	for _, name := range append([]string{"data", "long-samples"}, ptqFlags...) {
		if c.IsSet(name) {
			return usagef(c, "--%s: nothing is quantised with --half: leave one of them out", name)
		}
	}
	output := cmp.Or(c.String("output"), halfName(model))
	if _, err := os.Lstat(output); err == nil {
		return fmt.Errorf("--output %s: it exists, and --half replaces no file, not with --force either: name another",
			foreign.Path(output))
	}
	output, err := exportOutput(c, output)
	if err != nil {
		return err
	}
	m, err := layers.Load(model)
	if err != nil {
		return err
	}
	f, err := m.HalfFile()
	if err != nil {
		return fmt.Errorf("%s: %w", model, err)
	}
	if err := safetensors.Write(output, f); err != nil {
		return err
	}
	var kept strings.Builder
	for _, t := range f.Tensors {
		if t.DType != safetensors.F16 {
			_, _ = kept.WriteString("\n" + t.Name + " stays in float32: half precision does not hold it")
		}
	}
	info, err := os.Stat(output)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.App.Writer, "%s\n%s in half precision, where float32 takes %s%s\n", foreign.Path(output),
		megabytes(int(info.Size())), megabytes(m.WeightBytes()), kept.String()); err != nil {
		return err
	}
	if !learntOwn(m.Extra) {
		next(c, "eval", output)
	}
	return nil
}

// exportOutput is the file to write. It refuses, before any work is done, one that is to be kept.
func exportOutput(c *cli.Context, otherwise string) (string, error) {
	if c.String("output") == "" { // of one that was given, checkFiles has refused what must never be replaced
		if err := c.Set("output", otherwise); err != nil {
			return "", err
		}
		if err := checkFiles(c); err != nil {
			return "", err
		}
	}
	output := c.String("output")
	if _, err := os.Stat(output); err == nil && !c.Bool("force") {
		return "", fmt.Errorf("--output %s: it exists; name another file, or replace it with --force", output)
	}
	return output, nil
}

// ptqFlags are the settings of a quantisation after training.
var ptqFlags = []string{
	"targets", "calib-samples", "calib-context", "seed", "group-size", "salient-fraction", "step-init",
	"embedding-bits", "head-bits", "scheme", "qat-steps", "qat-ctx", "qat-batch", "qat-lr",
}

// trainedForExport is a model that was trained with its quantisers.
func trainedForExport(c *cli.Context, model string, f *safetensors.File) (*qat.Quantised, error) {
	for _, name := range ptqFlags {
		if c.IsSet(name) {
			return nil, usagef(c, "--%s: %s was trained with its quantisers and is packed as it is; leave the flag out, or "+
				"export the model in floating point", name, model)
		}
	}
	q, err := qat.FromFile(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", model, err)
	}
	return q, nil
}

// quantiseForExport quantises a model in floating point.
func quantiseForExport(c *cli.Context, path string, f *safetensors.File) (q *qat.Quantised, err error) {
	m, err := layers.FromFile(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.Packed() {
		return nil, fmt.Errorf("%s: %w", path, layers.ErrPacked)
	}
	o, err := exportOptions(c, m.Config)
	if err != nil {
		return nil, err
	}
	tune, err := exportTrainingOf(c)
	if err != nil {
		return nil, err
	}
	reads := o.Has(qat.Attention) || tune.Steps > 0
	switch {
	case c.IsSet("data") && !reads:
		return nil, usagef(c, "--data: nothing is calibrated or trained on them: leave them out, or give --qat-steps N or "+
			"--targets with attention")
	case !c.IsSet("data") && reads && learntOwn(m.Extra):
		return nil, usagef(c, "%s learnt from data of its own: give --data FILE, to calibrate attention and to train on",
			foreign.Path(path))
	}
	var own *ownSamples
	if c.IsSet("data") {
		if own, err = openSamples(c, m, learnable); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, own.Close()) }()
	}
	tune, err = fitTraining(c, tune, m, own)
	if err != nil {
		return nil, err
	}
	var calibration *qat.Calibration
	if o.Has(qat.Attention) {
		if calibration, err = calibrateForExport(c, m, own); err != nil {
			return nil, err
		}
	}
	q, err = qat.Prepare(m, calibration, o)
	if err != nil || tune.Steps == 0 {
		return q, err
	}
	return q, trainForExport(c, m, q, tune, own)
}

// trainForExport trains the model through its quantisers.
func trainForExport(c *cli.Context, m *layers.Model, q *qat.Quantised, tune qat.FinetuneConfig, own *ownSamples) error {
	step := newProgress(c.App.ErrWriter).training()
	session := qat.Session{Report: func(s qat.Step) { step(s.Step, tune.Steps, s.Loss, tune.Batch*tune.Context) }}
	if own != nil {
		samples, err := own.of(tune.Context)
		if err != nil {
			return err
		}
		session.Data = samples
	}
	_, err := qat.Finetune(c.Context, m, q, tune, tasks.Seeded(c.Uint64("seed")), session)
	switch {
	case errors.Is(err, train.ErrDiverged):
		return fmt.Errorf("%w; nothing was written: give fewer --qat-steps, or a lower --qat-lr", err)
	case err != nil:
		return fmt.Errorf("%w; nothing was written", err)
	}
	return nil
}

// exportTrainingOf is the training that the flags ask for, in which nothing contradicts; with 0 steps there is none.
func exportTrainingOf(c *cli.Context) (qat.FinetuneConfig, error) {
	tune := exportTraining()
	flags := exportTrainingSettings(&tune)
	override(c, flags...)
	if tune.Steps < 0 {
		return tune, usagef(c, "--qat-steps %d: it must be 0, for no training, or more", tune.Steps)
	}
	if tune.Steps == 0 {
		for _, f := range flags {
			if c.IsSet(f.flag) && f.flag != "qat-steps" {
				return tune, usagef(c, "--%s %v: it goes with --qat-steps N", f.flag, c.Value(f.flag))
			}
		}
	}
	return tune, nil
}

// fitTraining fits the training to the model and checks it. Samples of own data have as many tokens as those that the
// model learnt.
func fitTraining(c *cli.Context, tune qat.FinetuneConfig, m *layers.Model,
	own *ownSamples) (qat.FinetuneConfig, error) {
	if tune.Steps == 0 {
		return tune, nil
	}
	if !c.IsSet("qat-ctx") {
		tune.Context = min(tune.Context, m.Config.MaxLen)
		if own != nil {
			tune.Context = own.context(m.Config)
		}
	}
	validate := tune.Validate
	if own != nil {
		validate = tune.ValidateOnData
	}
	if err := settingError(c, &tune, exportTrainingSettings(&tune), validate(m.Config)); err != nil {
		return tune, err
	}
	return tune, checkFinetuneMemory(c, tune, m.Config)
}

func exportOptions(c *cli.Context, m layers.Config) (qat.Options, error) {
	o := qat.DefaultOptions()
	o.Metadata = qat.MetadataCompact
	if m.Architecture != layers.SynapNet {
		o.Targets = []qat.Target{qat.Layers}
	}
	if names := c.StringSlice("targets"); c.IsSet("targets") {
		o.Targets = nil
		for _, n := range names {
			o.Targets = append(o.Targets, qat.Target(n))
		}
		if slices.Contains(names, "all") {
			if len(names) > 1 {
				return o, usagef(c, "--targets %s: all are every one; name no others", strings.Join(names, " "))
			}
			o.Targets = qat.TargetsOf(m)
		}
	}
	o.GroupSize = min(o.GroupSize, m.Dim) // the default fits every model
	override(c, optionSettings(&o)...)
	if err := exportSchemes(c, &o); err != nil {
		return o, err
	}
	if err := o.Validate(m); err != nil {
		return o, usagef(c, "%s", optionFlags.Replace(err.Error()))
	}
	return o, cmp.Or(checkBits(c, o, "embedding-bits", qat.Embeddings), checkBits(c, o, "head-bits", qat.Head))
}

// exportSchemes sets the schemes that --scheme gives; what it names is a target. It refuses schemes that no packed file
// holds.
func exportSchemes(c *cli.Context, o *qat.Options) error {
	o.Schemes = map[qat.Target]string{}
	for _, s := range c.StringSlice("scheme") {
		name, of, ok := strings.Cut(s, "=")
		target := qat.Target(name)
		if !ok {
			return usagef(c, "--scheme %q: want TARGET=NAME, such as ff=%s", s, scheme.Int8.Name)
		}
		if first, ok := o.Schemes[target]; ok {
			return usagef(c, "--scheme %s: %s is given the scheme %s already; give it one", s, target, first)
		}
		switch found, err := scheme.Lookup(of); {
		case err != nil:
			return usagef(c, "--scheme %s: there is no scheme %q; give one of %s", printable(s), of, schemeNames())
		case found.Form == nil:
			return usagef(c, "--scheme %s: no packed file holds %s; give one of %s", s, of, schemeNames())
		}
		if o.Schemes[target] = of; !o.Has(target) {
			o.Targets = append(o.Targets, target)
		}
	}
	return nil
}

// checkBits refuses the bits of a target that there is not, or whose scheme says them.
func checkBits(c *cli.Context, o qat.Options, flag string, target qat.Target) error {
	of, ok := o.Schemes[target]
	switch {
	case !c.IsSet(flag):
	case ok:
		return usagef(c, "--%s %d: --scheme %s=%s says it, too; give one of them", flag, c.Int(flag), target, of)
	case !o.Has(target):
		return usagef(c, "--%s %d: %[3]s is no target; give --targets with %[3]s", flag, c.Int(flag), target)
	}
	return nil
}

// optionFlags calls the options in messages by the names of their flags.
var optionFlags = strings.NewReplacer("group_size is", "--group-size", "salient_fraction is", "--salient-fraction",
	"step_init is", "--step-init", "embedding_bits is", "--embedding-bits", "head_bits is", "--head-bits",
	"targets names", "--targets or --scheme names", "schemes names", "--scheme names", "schemes of", "--scheme of")

// maxCalibration bounds --calib-samples: beyond it, the number is a slip of the keyboard.
const maxCalibration = 1 << 20

func calibrateForExport(c *cli.Context, m *layers.Model, own *ownSamples) (*qat.Calibration, error) {
	samples, tokens := c.Int("calib-samples"), c.Int("calib-context")
	if !c.IsSet("calib-context") {
		tokens = min(tokens, m.Config.MaxLen)
		if own != nil {
			tokens = own.context(m.Config)
		}
	}
	if samples < 1 || samples > maxCalibration {
		return nil, usagef(c, "--calib-samples %d: must be from 1 to %d", samples, maxCalibration)
	}
	if tokens < layers.MinContext || tokens > m.Config.MaxLen {
		return nil, usagef(c, "--calib-context %d: must be from %d to the model's %d positions (max_len)", tokens,
			layers.MinContext, m.Config.MaxLen)
	}
	batch := 4
	for samples%batch != 0 {
		batch--
	}
	if err := checkCalibrationMemory(c, m.Config, samples, batch, tokens); err != nil {
		return nil, err
	}
	if own != nil {
		return calibrateOnData(c, m, own, samples, batch, tokens)
	}
	data, err := qat.MixtureBatches(m.Config, samples/batch, batch, tokens,
		tasks.Seeded(c.Uint64("seed")).For(tasks.Calibration, 0))
	if err != nil {
		return nil, err
	}
	newProgress(c.App.ErrWriter).Line("calibrating on %s of %d tokens", plural(samples, "sample"), tokens)
	return qat.CalibrateContext(c.Context, m, data)
}

// calibrateOnData calibrates on a draw from the samples of --data, of as many tokens as those that the model learnt.
func calibrateOnData(c *cli.Context, m *layers.Model, set *ownSamples, samples, batch,
	tokens int) (*qat.Calibration, error) {
	from, err := set.of(tokens)
	if err != nil {
		return nil, err
	}
	batch = min(batch, from.Len())
	count := min(samples, from.Len()) / batch
	order := data.Shuffle{Seed: c.Uint64("seed"), Purpose: tasks.Calibration}.Order(from.Len(), from.Len(), batch)
	drawn := qat.Batches{Size: batch, Tokens: tokens}
	for i := range count {
		var rows []tasks.Sample
		for _, k := range order(i) {
			s, err := from.Sample(k)
			if err != nil {
				return nil, err
			}
			rows = append(rows, s)
		}
		ids, _ := curriculum.Collate(rows, batch)
		drawn.IDs = append(drawn.IDs, ids)
	}
	p := newProgress(c.App.ErrWriter)
	if n := from.Cut(); n > 0 {
		p.Line("%d of the %d samples of --data are longer than %d tokens and cut", n, from.Len(), tokens)
	}
	p.Line("calibrating on %s of %d tokens of --data", plural(count*batch, "sample"), tokens)
	return qat.CalibrateContext(c.Context, m, drawn)
}
