package main

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/cajq"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/shell"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// defaultThreePhase is where a run goes without --output-dir, or to the first free one of defaultThreePhase-2, -3, ….
const defaultThreePhase = "runs/cajq-3phase"

func threePhaseCommand() *cli.Command {
	return &cli.Command{
		Name:        "cajq-3phase",
		Usage:       "train in three phases: floating point, through the quantisers, cooldown; with a retention classifier",
		Description: helpText("cajq-3phase"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "TOML `FILE` with the settings, see configs/cajq-3phase.toml"},
			&cli.StringFlag{Name: "checkpoint", Usage: "model `FILE` to begin with, whose configuration is the run's",
				DefaultText: "initial weights"},
			&cli.StringFlag{Name: "output-dir", Usage: "`DIR` for checkpoint, model, result (default: " + defaultThreePhase +
				", or the next free name)"},
			&cli.BoolFlag{Name: "resume", Usage: "continue the run in --output-dir from its checkpoint"},
			&cli.IntFlag{Name: "checkpoint-every", Usage: "steps between checkpoints; 0: only after epochs", Value: 100},
			threadsFlag(),
		},
		Action: threePhase,
	}
}

func threePhase(c *cli.Context) error {
	if c.Int("checkpoint-every") < 0 {
		return usagef(c, "--checkpoint-every %d: must be 0 or more", c.Int("checkpoint-every"))
	}
	run, err := openThreePhase(c)
	if err != nil {
		return err
	}
	t := run.Trainer
	t.CheckpointEvery = c.Int("checkpoint-every")
	p := newProgress(c.App.ErrWriter)
	p.Line("%s", machineLine())
	p.Line("%d parameters, %s, seed %d, %s", t.Model.Params.Count(), plural(t.TotalSteps(), "step"), t.Config.Seed,
		run.Dir)
	warn(p, t.Warnings...)
	if run.Classifier != nil {
		p.Line("retention classifier of %d parameters, lambda_baee %g", run.Classifier.Parameters(), t.Config.LambdaBAEE)
	}
	p.Start(t.TotalSteps())
	p.Resume(t.Done())
	tokens, last := float64(t.Config.BatchSize*t.Config.Context), time.Now()
	t.Hooks.Step = func(s qat.Step) {
		p.Step(s.Step, s.Loss, math.NaN(), tokens/time.Since(last).Seconds())
		last = time.Now()
	}
	t.Hooks.Evaluation = func(e qat.Epoch) {
		p.Line("%s", phaseLine(e))
		last = time.Now()
	}
	result, err := run.Run(c.Context)
	p.Finish()
	if err != nil {
		return trainingEnded(c, err, run.Dir, "begin a new run with a lower lr of that phase in its --config file and "+
			"--output-dir "+shell.Word(freeDir(run.Dir)))
	}
	if err := printThreePhase(c, run.Dir, result); err != nil {
		return err
	}
	next(c, "eval", run.Path(result.Model))
	next(c, "export", run.Path(result.Model))
	return nil
}

// openThreePhase begins the run that the flags describe, or continues one.
func openThreePhase(c *cli.Context) (*cajq.ThreePhase, error) {
	dir := c.String("output-dir")
	if c.Bool("resume") {
		switch {
		case dir == "":
			return nil, usagef(c, "--resume: name the run's directory with --output-dir")
		case c.IsSet("config"):
			return nil, usagef(c, "--config %s: a resumed run has the settings that it began with; leave one of --config and "+
				"--resume out", printable(c.String("config")))
		case c.IsSet("checkpoint"):
			return nil, usagef(c, "--checkpoint %s: a resumed run continues from its own; leave one of --checkpoint and "+
				"--resume out", printable(c.String("checkpoint")))
		}
		conf, err := cajq.ReadThreePhaseConfig(dir)
		if err != nil {
			return nil, err
		}
		if err := checkThreePhaseMemory(c, conf, true); err != nil {
			return nil, err
		}
		return cajq.ResumeThreePhase(dir, environment())
	}
	conf, base, fitted, err := threePhaseSettings(c)
	if err != nil {
		return nil, err
	}
	if err := settingError(c, &conf, nil, conf.Validate()); err != nil {
		return nil, err
	}
	if err := checkThreePhaseMemory(c, conf, false); err != nil {
		return nil, err
	}
	tell(c, fitted)
	if dir == "" {
		dir = freeDir(defaultThreePhase)
	}
	return cajq.NewThreePhase(conf, base, dir, environment())
}

// threePhaseSettings puts the defaults, the model of --checkpoint, if there is one, and the configuration file
// together. A line tells what was fitted to the model.
func threePhaseSettings(c *cli.Context) (conf qat.ThreePhaseConfig, base *layers.Model, fitted string, err error) {
	conf = qat.DefaultThreePhase()
	path := c.String("checkpoint")
	if path == "" {
		return conf, nil, "", configure(c, &conf)
	}
	if err := refuseOwn(c, path); err != nil {
		return conf, nil, "", err
	}
	if base, err = measure.LoadBase(path); err != nil {
		return conf, nil, "", err
	}
	conf.Model = base.Config
	if err := cmp.Or(configure(c, &conf), checkModel(c, conf.Model, base.Config, "checkpoint", path)); err != nil {
		return conf, nil, "", err
	}
	fitted, err = fitTo(c, &conf, nil, path, fitThreePhase)
	return conf, base, fitted, err
}

func phaseLine(e qat.Epoch) string {
	line := fmt.Sprintf("%s, epoch %d  loss %.4f", e.Phase, e.Epoch+1, e.Loss)
	if e.Auxiliary > 0 {
		line += fmt.Sprintf("  retention loss %.4f", e.Auxiliary)
	}
	return line + "  overall " + accuracyText(e.Accuracy.Overall)
}

// printThreePhase ends a run with its last epoch, where a terminal does not show it, and where everything is.
func printThreePhase(c *cli.Context, dir string, r *cajq.ThreePhaseResult) error {
	w := &firstError{w: c.App.Writer}
	if !isTerminal(c.App.Writer) {
		w.printf("%s\n", phaseLine(r.Epochs[len(r.Epochs)-1]))
	}
	files := r.Model
	if r.Classifier != "" {
		files += " and " + r.Classifier
	}
	w.printf("wall time %s, peak memory %.0f MB; %s are in %s\n",
		time.Duration(math.Round(r.Cost.WallSeconds))*time.Second, float64(r.Cost.PeakRSSBytes)/1e6, files, foreign.Path(dir))
	return w.err
}
