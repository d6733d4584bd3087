package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/pretrain"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/shell"
	"github.com/synapnet/synapnet-train/layers"
)

// defaultRun is where a run goes without --output-dir; if it is taken, to the first free one of defaultRun-2, -3, ….
const defaultRun = "runs/pretrain"

func pretrainCommand() *cli.Command {
	d := curriculum.Default()
	return &cli.Command{
		Name:        "pretrain",
		Usage:       "train a model, from scratch or from another one, on a curriculum of context lengths",
		Description: helpText("pretrain"),
		Flags: append(append(settingsFlags(pretrainSettings(&d)), dataFlags()...),
			&cli.StringFlag{Name: "config", Usage: "TOML `FILE` with any of these settings, see configs/"},
			&cli.StringFlag{Name: "output-dir", Usage: "`DIR` for checkpoint, model, curves (default: " + defaultRun +
				", or the next free name)"},
			&cli.BoolFlag{Name: "resume", Usage: "continue the run in --output-dir from its checkpoint (default: the newest " +
				"unfinished " + defaultRun + "*)"},
			&cli.IntFlag{Name: "checkpoint-every", Usage: "steps between checkpoints; 0: only after epochs", Value: 100},
			threadsFlag(),
		),
		Action: runPretrain,
	}
}

// pretrainConfig puts the recipe, or the model of --init-from with it, the configuration file and the flags together. A
// run that continues has its recipe and its model already: was is its configuration.
func pretrainConfig(c *cli.Context, was *curriculum.Config) (conf curriculum.Config, err error) {
	var known *layers.Config
	if was != nil {
		conf.Recipe, known = was.Recipe, &was.Model
	}
	recipe, err := recipeOf(c, conf.Recipe)
	if err != nil {
		return conf, err
	}
	file, err := readPretraining(c, withoutStages(recipe.Config()))
	if err != nil {
		return conf, err
	}
	conf = underneath(c, recipe.Config(), file)
	if err := besideStages(c, conf, file); err != nil {
		return conf, err
	}
	if c.IsSet("data") || file.Data != nil {
		conf = forData(conf)
	}
	if path := cmp.Or(c.String("init-from"), file.InitFrom); path != "" {
		conf.Init = "" // the model is the file's, not the recipe's
		return initialised(c, path, known, conf)
	}
	if conf, err = readPretraining(c, conf); err != nil {
		return conf, err
	}
	if err := overrideSettings(c, &conf); err != nil {
		return conf, err
	}
	conf = unnamed(conf)
	if err := cmp.Or(overrideData(c, &conf), overStages(c, conf)); err != nil {
		return conf, err
	}
	return conf, pretrainError(c, &conf, conf.ValidateUnread())
}

// readPretraining is the configuration with what the file of --config says.
func readPretraining(c *cli.Context, conf curriculum.Config) (curriculum.Config, error) {
	path := c.String("config")
	if path == "" {
		return conf, nil
	}
	if err := loadPretraining(path, &conf); err != nil {
		return conf, usagef(c, "%v", err)
	}
	return conf, nil
}

// pretrainError is an error of the settings in the words of the command line.
func pretrainError(c *cli.Context, conf *curriculum.Config, err error) error {
	flags := append(pretrainSettings(conf), setting{"tasks", "", &conf.Mixture})
	if conf.Data != nil {
		flags = append(flags, dataSettings(conf.Data)...)
	}
	if fromRecipe(c, conf, flags, err) {
		return usagef(c, "--recipe %s: %v", conf.Recipe, err)
	}
	return settingError(c, conf, flags, err)
}

// pretrainSettings are the settings of a run that have flags, in the order of the help text.
func pretrainSettings(conf *curriculum.Config) []setting {
	return slices.Concat([]setting{
		recipeSetting(conf),
		{"curriculum", "context `LENGTH`s in tokens, a stage each, in place of the recipe's stages: --curriculum 512 1024",
			&conf.Curriculum},
	}, modelSettings(&conf.Model), []setting{
		{"samples-per-stage", "training samples of each stage", &conf.SamplesPerStage},
		{"epochs-per-stage", "passes over them", &conf.EpochsPerStage},
		{"batch-size", "samples a step", &conf.BatchSize},
		{"chunks", "parts `C` of equal length that a sample is read in, each with the memory of those before; 0: one pass",
			&conf.Chunks},
		{"lr", "peak learning rate", &conf.LR},
		{"warmup-steps", "steps of linear warm-up", &conf.WarmupSteps},
		{"weight-decay", "decoupled weight decay", &conf.WeightDecay},
		{"eval-samples", "held-out samples after each epoch", &conf.EvalSamples},
		{"seed", "seed of weights, data and order", &conf.Seed},
		{"init", "initial `VALUES` of a new model: " + strings.Join(namesOf(layers.Initialisations()), " or ") +
			" (default: the recipe's)", &conf.Init},
		{"init-from", "model `FILE` to begin from, in place of initial weights; the configuration is the model's",
			&conf.InitFrom},
		{"extend-max-len", "positions to give that model, more than it has; 0: as it is", &conf.ExtendMaxLen},
		{"extend-by", "`WAY` to make them: interpolate stretches the table, fresh adds new rows to it (default: interpolate)",
			&conf.ExtendBy},
	})
}

// overrideSettings sets what the user gave flags for.
func overrideSettings(c *cli.Context, conf *curriculum.Config) error {
	model := conf.Model // whose settings depend on each other
	override(c, pretrainSettings(conf)...)
	conf.Model = model
	return overrideModel(c, &conf.Model)
}

// loadPretraining fills *conf from the TOML file at path. If that names another architecture, the settings of the model
// that it leaves out are those of the model of that architecture that matches the one in *conf.
func loadPretraining(path string, conf *curriculum.Config) error {
	text, err := readConfig(path)
	if err != nil {
		return err
	}
	read := *conf
	if err := decodeConfig(path, text, &read); err != nil {
		return err
	}
	a := read.Model.Architecture
	if a == conf.Model.Architecture {
		*conf = read
		return nil
	}
	matched, err := layers.MatchedConfig(a, conf.Model)
	if err != nil {
		return ofFile(path, "model.architecture", bounds.In("model", err))
	}
	conf.Model = matched
	return decodeConfig(path, text, conf)
}

func runPretrain(c *cli.Context) error {
	if c.Int("checkpoint-every") < 0 {
		return usagef(c, "--checkpoint-every %d: must be 0 or more", c.Int("checkpoint-every"))
	}
	run, err := openPretraining(c)
	if err != nil {
		return err
	}
	t := run.Trainer
	t.CheckpointEvery = c.Int("checkpoint-every")
	total, err := t.Config.TotalSteps()
	if err != nil {
		return err
	}
	p := newProgress(c.App.ErrWriter)
	if err := tellPretraining(p, run, total); err != nil {
		return err
	}
	stages, stage := t.Config.Stages(), -1
	p.Start(total)
	p.Resume(t.Done())
	t.Hooks.Step = func(s curriculum.Step) {
		if s.Stage != stage { // one before it may have ended by accuracy
			p.Plan(planned(t)...)
			stage = s.Stage
		}
		p.Step(s.Step, s.Loss, s.Accuracy, float64(s.Tokens)/s.Duration.Seconds())
	}
	t.Hooks.Evaluation = func(e curriculum.EpochEvaluation) {
		p.Line("%s", evaluationLine(e))
		if line := stageLine(e, stages[e.Stage]); line != "" {
			p.Line("%s", line)
		}
	}
	result, err := run.Run(c.Context)
	p.Finish()
	if err != nil {
		return trainingEnded(c, err, run.Dir, lowerRate(c, run))
	}
	if err := printPretrain(c, run.Dir, result); err != nil {
		return err
	}
	nextOfPretraining(c, run)
	return nil
}

// planned are the stages of a run, with their steps as far as is known.
func planned(t *curriculum.Trainer) (all []progressStage) {
	stages := t.Config.Stages()
	for i, steps := range t.StageSteps() {
		all = append(all, progressStage{Context: stages[i].Context, Batch: stages[i].BatchSize, Steps: steps})
	}
	return all
}

// stageLine says how a stage that is to end by accuracy ended; "" where it goes on, or has no such end.
func stageLine(e curriculum.EpochEvaluation, s curriculum.Stage) string {
	switch ends, reached := s.Ends(e); {
	case s.Until == "" || !ends:
		return ""
	case reached:
		return fmt.Sprintf("stage %d ends: %s", e.Stage+1, s.Until)
	}
	return fmt.Sprintf("warning: stage %d ends after its %s without %s", e.Stage+1, plural(s.Epochs, "epoch"), s.Until)
}

// tellPretraining tells what a run is, before its first step.
func tellPretraining(p *progress, run *pretrain.Training, total int) error {
	t := run.Trainer
	p.Line("%s", machineLine())
	head := fmt.Sprintf("%d parameters, %s, seed %d, %s", t.Model.Params.Count(), plural(total, "step"), t.Config.Seed,
		run.Dir)
	if recipe := recipeLine(t.Config); recipe != "" {
		head = recipe + ", " + head
	}
	p.Line("%s", head)
	if problem := t.Config.WarmupProblem(total); problem != "" {
		p.Line("warning: %s", problem)
	}
	warn(p, t.Warnings...)
	for _, r := range t.Config.Rates {
		p.Line("lr %g from step %d on, after the run diverged", r.LR, r.Step)
	}
	if t.Config.InitFrom != "" {
		p.Line("%s", baseLine(t.Config, t.Quantised()))
	}
	if line := sharesLine(t.Config); line != "" {
		p.Line("%s", line)
	}
	if t.Own != nil {
		p.Line("%s", dataLine(t.Own, t.Config.Contexts()))
	}
	var read []int
	for _, s := range t.Config.Stages() {
		read = append(read, s.Chunk())
	}
	untrained, err := t.Model.Untrained(read...)
	if err != nil {
		return err
	}
	if len(untrained) > 0 {
		p.Line("%s", untrainedLine(untrained))
	}
	return nil
}

// nextOfPretraining suggests what comes after a run: its model's evaluation, and its packed form.
func nextOfPretraining(c *cli.Context, run *pretrain.Training) {
	model := run.Path(lab.ModelFile)
	d := run.Trainer.Config.Data
	if d == nil {
		next(c, "eval", model)
		next(c, "export", model)
		return
	}
	if len(d.Eval) > 0 {
		next(c, append([]string{"eval", model, "--data"}, d.Eval...)...)
	} else {
		next(c, append(append([]string{"eval", model, "--data"}, d.Train...), "--held-out")...)
	}
	if run.Trainer.Quantised() { // it is packed as it is
		next(c, "export", model)
	} else {
		next(c, append([]string{"export", model, "--data"}, d.Train...)...)
	}
}

// trainingEnded is the error that ended a training, with what to do about it.
func trainingEnded(c *cli.Context, err error, dir, lowerRate string) error {
	switch {
	case errors.Is(err, train.ErrInterrupted):
		return fmt.Errorf("%w; continue with: %s", err, shell.CommandLine(
			again(c, []string{c.Command.Name, "--resume", "--output-dir", dir}, "checkpoint-every", "threads")...))
	case errors.Is(err, train.ErrDiverged):
		return fmt.Errorf("%w; %s", err, lowerRate)
	}
	return err
}

// lowerRate is what to do about a run that diverged.
func lowerRate(c *cli.Context, run *pretrain.Training) string {
	lr := min(run.Trainer.Config.PeakLR()/10, curriculum.Default().LR)
	if r := run.Trainer.Config.Rates; len(r) > 0 && r[len(r)-1].Step >= run.Trainer.Done() {
		return fmt.Sprintf("a lower rate does not help, its weights are ruined: begin a new run with --lr %.3g and another "+
			"--output-dir", lr)
	}
	words := again(c, []string{"pretrain", "--resume", "--output-dir", run.Dir, "--lr", fmt.Sprintf("%.3g", lr)},
		"checkpoint-every", "threads")
	return "go on from there with a lower rate: " + shell.CommandLine(words...)
}

// warn prints lines about what a run that continues does not have as it was.
func warn(p *progress, lines ...string) {
	for _, line := range lines {
		if line != "" {
			p.Line("warning: %s", line)
		}
	}
}

// openPretraining begins the run that the flags describe, or continues one.
func openPretraining(c *cli.Context) (*pretrain.Training, error) {
	dir := c.String("output-dir")
	if !c.Bool("resume") {
		conf, err := pretrainConfig(c, nil)
		if err != nil {
			return nil, err
		}
		if err := checkMemory(conf.Unread(), false, freeMemory()); err != nil {
			return nil, usagef(c, "%v", err)
		}
		if dir == "" {
			dir = freeDir(defaultRun)
		}
		run, err := pretrain.New(c.Context, conf, dir, environment(), told(newProgress(c.App.ErrWriter)))
		return run, ofData(c, conf, whileReading(c, err))
	}
	if dir == "" {
		var err error
		if dir, err = newestRun(); err != nil {
			return nil, err
		}
	}
	conf, err := pretrain.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	if err := checkMemory(conf, true, freeMemory()); err != nil {
		return nil, usagef(c, "%s: %v", printable(dir), err)
	}
	if err := sameSettings(c, conf); err != nil {
		return nil, err
	}
	run, err := pretrain.Resume(c.Context, dir, environment(), told(newProgress(c.App.ErrWriter)))
	if err != nil {
		return nil, whileReading(c, err)
	}
	if lr := c.Float64("lr"); c.IsSet("lr") && lr != conf.PeakLR() {
		err := run.LowerRate(lr)
		if _, refused := errors.AsType[*bounds.Error](err); refused {
			err = pretrainError(c, &conf, err)
		}
		if err != nil {
			return nil, errors.Join(err, run.Trainer.Close())
		}
	}
	return run, nil
}

// sameSettings refuses to continue a run with settings other than those it began with, but for a learning rate, which
// LowerRate may take.
func sameSettings(c *cli.Context, was curriculum.Config) error {
	now := was
	if err := overrideSettings(c, &now); err != nil {
		return err
	}
	named := was
	now.Recipe, now.Init = now.RecipeName(), cmp.Or(now.Init, layers.Published)
	named.Recipe, named.Init = was.RecipeName(), cmp.Or(was.Init, layers.Published)
	before := pretrainSettings(&named)
	for i, s := range pretrainSettings(&now) {
		if a, b := s.text(), before[i].text(); a != b && s.flag != "lr" {
			return usagef(c, "--%s is %s, but the run began with %s: leave the flag out to resume, or begin a new run with "+
				"another --output-dir", s.flag, a, cmp.Or(b, "none"))
		}
	}
	if err := noData(c); err != nil || !c.IsSet("config") {
		return err
	}
	now, err := pretrainConfig(c, &was)
	if err != nil {
		return err
	}
	if now, err = now.Continued(was); err != nil {
		return err
	}
	if c.IsSet("lr") {
		now.LR = was.LR
	}
	if !reflect.DeepEqual(now, was) {
		return usagef(c, "--config %s differs from the settings the run began with: leave it out to resume, or begin a new "+
			"run with another --output-dir", printable(c.String("config")))
	}
	return nil
}

// freeDir is name, or the first of name-2, name-3, … that does not exist.
func freeDir(name string) string {
	dir := name
	for i := 2; ; i++ {
		if _, err := os.Stat(dir); err != nil {
			return dir
		}
		dir = fmt.Sprintf("%s-%d", name, i)
	}
}

// newestRun is the directory of the checkpoint under defaultRun* that was written last.
func newestRun() (string, error) {
	found, err := filepath.Glob(filepath.Join(defaultRun+"*", lab.CheckpointFile))
	if err != nil {
		return "", err
	}
	newest, at := "", time.Time{}
	for _, path := range found {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(at) {
			newest, at = filepath.Dir(path), info.ModTime()
		}
	}
	if newest == "" {
		return "", fmt.Errorf("--resume: no unfinished run in %s*; name its directory with --output-dir", defaultRun)
	}
	return newest, nil
}

func evaluationLine(e curriculum.EpochEvaluation) string {
	var line strings.Builder
	_, _ = fmt.Fprintf(&line, "evaluation  stage %d epoch %d ctx %d  overall %s", e.Stage+1, e.Epoch+1, e.Context,
		accuracyText(e.Overall))
	for _, task := range e.Tasks() {
		_, _ = fmt.Fprintf(&line, "  %s %s", task, accuracyText(e.PerTask[task]))
	}
	return line.String()
}

func accuracyText(a curriculum.Accuracy) string {
	return fmt.Sprintf("%.3f [%.3f, %.3f]", a.Mean, a.Low, a.High)
}

// printPretrain ends a run with what it reached and where that is.
func printPretrain(c *cli.Context, dir string, r *pretrain.Result) error {
	var lines []string
	if !isTerminal(c.App.Writer) { // there, progress has just shown this line; in a file it is the result
		lines = append(lines, evaluationLine(r.History.Evaluations[len(r.History.Evaluations)-1]))
	}
	for _, m := range r.Final {
		if m.Published == nil {
			continue
		}
		word := "reached"
		if m.Interval.High < m.Published.Mean {
			word = "NOT reached"
		}
		lines = append(lines, fmt.Sprintf("  %-15s ours %.3f [%.3f, %.3f]  published %.3f  %s",
			m.Labels[result.TaskLabel], m.Mean, m.Interval.Low, m.Interval.High, m.Published.Mean, word))
	}
	lines = append(lines, fmt.Sprintf("wall time %s, peak memory %.0f MB; weights, result and curves are in %s",
		time.Duration(math.Round(r.Cost.WallSeconds))*time.Second, float64(r.Cost.PeakRSSBytes)/1e6, foreign.Path(dir)))
	_, err := fmt.Fprintln(c.App.Writer, strings.Join(lines, "\n"))
	return err
}
