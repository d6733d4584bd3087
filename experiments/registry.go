package experiments

import (
	"context"
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/synapnet/synapnet-train/experiments/result"
)

// Profile is a size of all experiments.
type Profile string

// The profiles: Full is the published protocol on the reference model; Quick runs every experiment on a small model that
// it trains itself, to show that all of them work.
const (
	Full  Profile = "full"
	Quick Profile = "quick"
)

// Experiment reproduces a table or figure of the paper. It is one file: its protocol constants, its run, its views.
type Experiment struct {
	Name   string   // on the command line; its result is FOLDER/NAME.json
	Folder string   // in the results folder
	Title  string   // of its section in the report
	Source string   // in the paper: section, table, published file
	Covers []string // rows of the public README's lists that it answers
	// Needs are the experiments whose results or files it reads; a new result of one of them makes this one stale.
	Needs []string
	// Version of the protocol: raised when the code changes what the numbers mean.
	Version  int
	Estimate func(p Profile) time.Duration // on two cores
	Views    []View
	Says     string // what the numbers show and what they do not, one or two sentences

	settings func(p Profile) any
	run      func(ctx context.Context, j *Job) (*Outcome, error)
}

// View shows measurements as a table: a row for every combination of the Rows labels, a column for every value of Column.
type View struct {
	Title  string
	Metric string   // only measurements of it; "" for a table with a column a metric
	Rows   []string // labels
	Column string   // label; "" where Metric is ""
	Figure *Figure  // the same measurements drawn; nil: only the table
}

// Figure draws a view: lines or points over a numeric label or metric, bars over a label.
type Figure struct {
	Kind   string // line, bar, scatter
	X      string // label on the x axis; with scatter, a metric
	Series string // label: a line, or a colour, a value
	LogX   bool
}

// Job is one run of an experiment.
type Job struct {
	Profile     Profile
	Root        string // the results folder
	Dir         string // the experiment's folder in it, which exists
	Environment result.Environment
	// Line tells news; Progress the share that is done.
	Line     func(format string, args ...any)
	Progress func(done, total int)

	settings any
	before   *result.Result // unfinished: of an earlier call with the same key; nil without one
	save     func(o *Outcome) error
}

// Outcome is what a run measured.
type Outcome struct {
	Seeds        []uint64
	Protocol     string
	Measurements []result.Measurement
	Details      any // JSON; nil for none
}

// define fills in an experiment whose settings have type S, one value a profile.
func define[S any](e Experiment, full, quick S, run func(ctx context.Context, j *Job, s S) (*Outcome, error)) Experiment {
	e.settings = func(p Profile) any {
		if p == Quick {
			return quick
		}
		return full
	}
	e.run = func(ctx context.Context, j *Job) (*Outcome, error) { return run(ctx, j, j.settings.(S)) }
	return e
}

// Save keeps what is measured so far, so that a run that is stopped continues from there: Before gives it back.
func (j *Job) Save(o *Outcome) error { return j.save(o) }

// Model is the path of the pretrained model of the job's profile, which the experiment pretrain made.
func (j *Job) Model() string { return j.File("pretrain", ModelFile) }

// File is the path of a file that another experiment left beside its result.
func (j *Job) File(experiment, name string) string {
	return filepath.Join(j.Root, folderOf(experiment), name)
}

// Before decodes the details that an earlier, unfinished call with the same settings and inputs saved, and says whether
// there are any.
func (j *Job) Before(details any) (bool, error) {
	if j.before == nil || len(j.before.Details) == 0 {
		return false, nil
	}
	return true, json.Unmarshal(j.before.Details, details)
}

// All lists the experiments in the order of the report.
func All() []Experiment {
	return []Experiment{
		memoryPressureExperiment(),
		baeeMicrobenchExperiment(),
		needlebenchExperiment(),
		rulerExperiment(),
		longbenchExperiment(),
		longContextExperiment(),
	}
}

func folderOf(name string) string {
	for _, e := range All() {
		if e.Name == name {
			return e.Folder
		}
	}
	return name
}
