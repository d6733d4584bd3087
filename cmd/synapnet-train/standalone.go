package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/report"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
)

// ownRun is an experiment that has a command of its own.
type ownRun struct {
	experiment lab.Experiment
	settings   any // of the flags
	inputs     map[string]string
	output     string // the result's file
	keep       string // folder of trained variants; "" for none
	place      string // of results, in messages
	diverged   string // the mend of a training that diverged
}

// checkOwn refuses settings of the command, those that conf points to, some of which have flags, with which the
// experiment cannot be run on the model at path, and what fits refuses.
func checkOwn(c *cli.Context, conf any, flags []setting, path string, fits func(m layers.Config) error) error {
	if err := refuseOwn(c, path); err != nil {
		return err
	}
	if m, err := layers.ReadConfig(path); err == nil {
		if err := lab.Validate(reflect.ValueOf(conf).Elem().Interface(), m); err != nil {
			return settingError(c, conf, flags, err)
		}
		if err := fits(m); err != nil {
			return err
		}
	}
	_, err := measure.LoadBase(path) // says what is wrong with the file
	return err
}

// flagNames are the flags of the settings that conf points to, by their keys.
func flagNames(conf any, flags []setting) map[string]string {
	names := map[string]string{}
	for _, s := range flags {
		names[settingKey(reflect.ValueOf(conf).Elem(), s.field)] = s.flag
	}
	return names
}

// settingKey is the key of a field among settings, "" if it is none of theirs.
func settingKey(settings reflect.Value, field any) string {
	for _, f := range configFieldList(settings.Type()) {
		v := settings.FieldByIndex(f.index)
		if v.Addr().Interface() == field {
			return f.key
		}
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if v.Kind() == reflect.Struct {
			if key := settingKey(v, field); key != "" {
				return f.key + "." + key
			}
		}
	}
	return ""
}

// run carries it out, telling how it goes, and prints its tables and a last line.
func (o ownRun) run(c *cli.Context, last string) error {
	j, f, err := lab.Standalone(o.experiment, o.settings, o.inputs, o.output, environment())
	if err != nil {
		return err
	}
	p := newProgress(c.App.ErrWriter)
	p.Line("%s", machineLine())
	warn(p, f.Note)
	j.Keep, j.Line, j.Detail, j.Step = o.keep, p.Line, p.Line, p.training()
	r, err := j.Run(c.Context, o.experiment)
	switch {
	case err == nil:
		return o.print(c, r, last)
	case errors.Is(err, train.ErrInterrupted), c.Err() != nil:
		return o.interrupted(c, err)
	case errors.Is(err, train.ErrDiverged):
		return fmt.Errorf("%w; %s", err, o.diverged)
	}
	return err
}

// interrupted is the error of a run that was told to stop: what there is, and the command that continues.
func (o ownRun) interrupted(c *cli.Context, err error) error {
	command := wholeCommand(c)
	if !errors.Is(err, train.ErrInterrupted) && errors.Is(err, context.Canceled) {
		err = train.ErrInterrupted // in place of Go's words
	}
	if _, missing := os.Stat(o.output); missing != nil {
		return fmt.Errorf("%w before anything was finished; begin again with: %s", err, command)
	}
	return fmt.Errorf("%w; what is finished is in %s; continue with: %s", err, foreign.Path(o.place), command)
}

func (o ownRun) print(c *cli.Context, r *result.Result, last string) error {
	if err := report.Text(c.App.Writer, o.experiment, r); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.App.Writer, "\n%s\n", last)
	return err
}

// training reports the steps of one training after the other.
func (p *progress) training() func(step, steps int, loss float64, tokens int) {
	var last time.Time // of the step before
	at := 0
	return func(step, steps int, loss float64, tokens int) {
		speed := math.NaN() // not known of the first step
		if step != at+1 || last.IsZero() {
			p.Start(steps)
			p.Resume(step - 1)
		} else {
			speed = float64(tokens) / time.Since(last).Seconds()
		}
		at, last = step, time.Now()
		p.Step(step, loss, math.NaN(), speed)
		if step == steps {
			p.Finish()
			last = time.Time{}
		}
	}
}
