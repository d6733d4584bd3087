package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
)

// Profile is a size of all experiments.
type Profile string

// The profiles: Full is the published protocol on the reference model; Quick runs every experiment on a small model
// that it trains itself, to show that all of them work; Strong runs those that a model which mostly guesses blurs again
// on one that answers, beside which no figure of the paper stands.
const (
	Full   Profile = "full"
	Quick  Profile = "quick"
	Strong Profile = "strong"
)

// Profiles lists them, the default first.
func Profiles() []Profile { return []Profile{Full, Quick, Strong} }

// Durations are times of a run by the profile.
type Durations map[Profile]time.Duration

// Custom marks results of settings that a command line chose.
const Custom = "custom"

// Experiment reproduces a table or figure of the paper: what it is about, its settings, its run, its views.
type Experiment struct {
	Name   string   // on the command line; its result is FOLDER/NAME.json
	Folder string   // in the results folder
	Title  string   // of its section in the report
	Source string   // in the paper: section, table, published file
	Covers []string // rows of the public README's lists that it answers
	// Profiles are those that it is part of; none: Full and Quick.
	Profiles []Profile
	// Needs are the experiments whose results or files it reads; a new result of one of them makes this one stale.
	Needs []string
	// Files are what a run leaves in the folder besides the result for others to read. Without one the result is not
	// complete.
	Files []string
	// Extras are what it writes there for people to look at: nothing reads them, and the result is complete without them.
	Extras []string
	// Alone says that it measures time or memory: nothing else runs meanwhile, whatever --jobs says.
	Alone bool
	// OneMachine says that its table compares times or memory: what is left of a run that was stopped counts only on the
	// same machine with the same program settings.
	OneMachine bool `toml:"one_machine"`
	// Version of the protocol: raised when the code changes what the numbers mean.
	Version int
	// Lacks, if set, is why this machine cannot run it with the given interpreters of Python: it is then left out of a run
	// that does not name it.
	Lacks func(pythons []string) error
	// Carries is the oldest version whose results continue under this one: the cells that they hold are what a run would
	// measure now. 0: none does.
	Carries  int
	Estimate Durations // of a run on two cores; of Strong, where there is none, that of Full
	Views    []View
	// Published are the paper's figures that stand beside its measurements.
	Published []Published
	Says      Texts // what the numbers show and what they do not, one or two sentences
	Protocol  Texts // how the numbers are got, in words

	// Convert reads details in the form of an earlier program, with the settings that they are of, and gives the outcome
	// that today's run gives of them, with its details; nil if they have today's form.
	Convert func(settings, details json.RawMessage) (*Outcome, error)
	// Recompute gives the outcome that today's run gives of the cells in a result, of which a measurement that the result
	// lacks is added to it; model is the configuration of the pretrained model. nil: nothing was added since there are
	// results.
	Recompute func(r *result.Result, model func() (layers.Config, error)) (*Outcome, error)
	// Apart is the mend of results that cannot share a file, in the words of the command that writes them: "move it away
	// or give another --output". It is that of Joint settings.
	Apart string

	// demands, if set, plans the memory of a run before it begins, from its settings and the models it needs.
	Demands  func(j *Job) ([]Demand, error)
	settings func(p Profile, k tasks.Keys) any
	// nil: settings are not Joint
	join   func(settings any, held json.RawMessage) (wanted, whole, rest any, err error)
	decode func(text []byte) (any, error) // settings from JSON
	Run    func(ctx context.Context, j *Job) (*Outcome, error)

	custom     string                            // its ID with other settings than the profile's; "" with those
	registered func(p Profile, k tasks.Keys) any // the profile's settings, of a custom one
}

// View shows measurements as a table: a row for every combination of the Rows labels, a column for every value of
// Column.
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
	Heavy  string // the series that the view is about, drawn with a heavier line; "" for none
	LogX   bool   `toml:"log_x"`
}

// Job is one run of an experiment.
type Job struct {
	Profile     Profile
	Root        string // the results folder
	Dir         string // the experiment's folder in it, which exists
	Environment result.Environment
	// Line tells news, Detail what is news where this experiment alone runs, e.g. every cell; Progress the share that is
	// done; Step a step of a training of so many tokens. All may be called from any goroutine.
	Line     func(format string, args ...any)
	Detail   func(format string, args ...any)
	Progress func(done, total int)
	Step     func(step, steps int, loss float64, tokens int)

	Settings any
	// Whole are the settings of all that the result holds after this run: its own, joined with those of what it held
	// before.
	Whole any
	// Keep is the folder in which trained variants are kept as files; "" for none.
	Keep   string
	Python []string          // interpreters, for an experiment that compares with another program
	inputs map[string]string // paths of files that are not in Root, by the names of Inputs
	before *result.Result    // unfinished: of an earlier call with the same key; nil without one
	save   func(o *Outcome) error
	Path   string                         // of the result
	Output *ResultFile                    // for an experiment that writes it itself, too
	folder func(experiment string) string // in the results folder
}

// Outcome is what a run measured.
type Outcome struct {
	Seeds        []uint64
	Notes        []string // sentences that the numbers of this run need besides the experiment's Protocol: added to it
	Measurements []result.Measurement
	Details      any // JSON; nil for none
	// Unpublished says that the run is of another model or recipe than the paper's, whose figures are not beside it.
	Unpublished bool
	// Partial says that cells of the job's whole settings are missing: a command of its own may compute some of them only.
	Partial bool

	// Environment and Cost are those of the measurements where not this run alone made them, e.g. a sum over single runs;
	// nil: this run's environment, and its time added to that of the unfinished run it continued.
	Environment *result.Environment
	Cost        *result.Cost
}

// In says whether the experiment is part of a profile.
func (e Experiment) In(p Profile) bool {
	if len(e.Profiles) == 0 {
		return p != Strong
	}
	return slices.Contains(e.Profiles, p)
}

// estimate is the time of a run.
func (e Experiment) estimate(p Profile) time.Duration {
	if t, ok := e.Estimate[p]; ok || p != Strong {
		return t
	}
	return e.Estimate[Full]
}

// Define fills in an experiment whose settings have type S, one value a profile; that of a profile without one is
// Full's. If S has a field SampleKeys, the experiment draws samples, and the field is set to the version of their keys.
func Define[S any](e Experiment, profiles map[Profile]S,
	run func(ctx context.Context, j *Job, s S) (*Outcome, error)) Experiment {
	withKeys := func(s S, k tasks.Keys) S {
		if keys := reflect.ValueOf(&s).Elem().FieldByName("SampleKeys"); keys.IsValid() {
			keys.Set(reflect.ValueOf(k))
		}
		return s
	}
	e.settings = func(p Profile, k tasks.Keys) any {
		s, ok := profiles[p]
		if !ok {
			s = profiles[Full]
		}
		return withKeys(s, k)
	}
	if _, joint := any(profiles[Full]).(Joint[S]); joint {
		e.join = func(settings any, config json.RawMessage) (any, any, any, error) {
			var held S
			if err := json.Unmarshal(config, &held); err != nil {
				return nil, nil, nil, err
			}
			wanted := withKeys(settings.(S), keysOf(config))
			whole, rest := any(wanted).(Joint[S]).Join(held)
			return wanted, whole, rest, nil
		}
	}
	e.decode = decoder[S]()
	e.Run = func(ctx context.Context, j *Job) (*Outcome, error) { return run(ctx, j, j.Settings.(S)) }
	e.Version = max(1, e.Version)
	e.Folder = cmp.Or(e.Folder, e.Name)
	return e
}

// Planned sets the plan of memory of an experiment on the pretrained model.
func Planned[S interface {
	Demands(m layers.Config) ([]Demand, error)
}](e Experiment) Experiment {
	e.Demands = func(j *Job) ([]Demand, error) {
		m, err := layers.ReadConfig(j.Model())
		if err != nil {
			return nil, nil // the run, which reads all of it, says what is wrong with it
		}
		return j.Settings.(S).Demands(m)
	}
	return e
}

// checkMemory is an error that names the experiment and its setting if a run does not fit into the room.
func (e Experiment) checkMemory(j *Job, room host.Room) error {
	if e.Demands == nil {
		return nil
	}
	all, err := e.Demands(j)
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := d.fits(room); err != nil {
			return fmt.Errorf("experiment %s was not begun: %w", e.Name, err)
		}
	}
	return nil
}

// Save keeps what is measured so far, so that a run that is stopped continues from there: Before gives it back.
func (j *Job) Save(o *Outcome) error { return j.save(o) }

// Earlier is the result that an earlier call left, nil without one.
func (j *Job) Earlier() *result.Result { return j.before }

// SameVersion says whether a result is of the version of the protocol that this run is of.
func (j *Job) SameVersion(r *result.Result) bool { return r.Version == j.Output.head.Version }

// today is r with its details in the form of today's program.
func (e Experiment) today(r *result.Result) (*result.Result, error) {
	if e.Convert == nil || len(r.Details) == 0 {
		return r, nil
	}
	o, err := e.Convert(r.Config, r.Details)
	if err != nil || o == nil {
		return r, err
	}
	c := *r
	c.Details, err = json.Marshal(o.Details)
	return &c, err
}

// Before decodes the details that an earlier, unfinished call with the same settings and inputs saved, and says whether
// there are any.
func (j *Job) Before(details any) (bool, error) {
	if j.before == nil || len(j.before.Details) == 0 {
		return false, nil
	}
	if err := json.Unmarshal(j.before.Details, details); err != nil {
		return false, &result.Invalid{Path: j.Path, Problem: "details: " + err.Error()}
	}
	return true, nil
}

// Model is the path of the pretrained model of the job's profile, which the experiment pretrain made.
func (j *Job) Model() string { return j.File("pretrain", ModelFile) }

// File is the path of a file that another experiment left beside its result.
func (j *Job) File(experiment, name string) string {
	if path, ok := j.inputs[experiment+"/"+name]; ok {
		return path
	}
	return filepath.Join(j.Root, j.folder(experiment), name)
}

// Settings are the experiment's settings in a profile, for a run that begins now.
func (e Experiment) Settings(p Profile) any { return e.settings(p, tasks.CurrentKeys) }

// ProfileOf is the profile whose settings these are, whatever the keys of samples, or Custom.
func (e Experiment) ProfileOf(settings any) string {
	for _, p := range Profiles() {
		if e.In(p) && SameButKeys(settings, e.Settings(p)) {
			return string(p)
		}
	}
	return Custom
}

// sampleKeys is the setting with the version of the keys of samples, in JSON.
const sampleKeys = "sample_keys"

// keysOf is the version of the keys of samples in settings, which is 1 where they name none.
func keysOf(settings any) tasks.Keys {
	if object, ok := Canonical(settings).(map[string]any); ok {
		if k, ok := object[sampleKeys].(float64); ok {
			return tasks.Keys(k)
		}
	}
	return tasks.Keys1
}

// SameButKeys says whether settings differ in nothing but the version of the keys of samples.
func SameButKeys(a, b any) bool {
	without := func(settings any) any {
		c := Canonical(settings)
		if object, ok := c.(map[string]any); ok {
			delete(object, sampleKeys)
		}
		return c
	}
	return reflect.DeepEqual(without(a), without(b))
}

// Canonical is v as JSON says it, for comparison. Fields that have their zero value are left out, so that a setting
// which is added later, and whose zero value is what was done before, changes nothing. So is version 1 of the keys of
// samples, which is what settings from before there were versions mean.
func Canonical(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var c any
	if err := d.Decode(&c); err != nil {
		return err
	}
	return withoutZeros(c)
}

func withoutZeros(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			x = withoutZeros(x)
			v[name] = x
			if object, ok := x.(map[string]any); name == sampleKeys && x == 1. || x == nil || x == false || x == 0. || x == "" ||
				ok && len(object) == 0 {
				delete(v, name)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutZeros(v[i])
		}
	case json.Number:
		if n, err := strconv.ParseUint(v.String(), 10, 64); err == nil && n > 1<<53 {
			return v // a float64 would be that of other seeds, too
		}
		if x, err := v.Float64(); err == nil {
			return x
		}
	}
	return v
}

// order puts experiments behind those that they need.
func order(all []Experiment) ([]Experiment, error) {
	byName := map[string]Experiment{}
	for _, e := range all {
		if _, twice := byName[e.Name]; twice {
			return nil, fmt.Errorf("experiment %s is registered twice", e.Name)
		}
		byName[e.Name] = e
	}
	var sorted []Experiment
	const open, closed = 1, 2
	state := map[string]int{}
	var visit func(name, by string) error
	visit = func(name, by string) error {
		e, ok := byName[name]
		switch {
		case !ok:
			return fmt.Errorf("experiment %s needs %s, which is not registered", by, name)
		case state[name] == open:
			return fmt.Errorf("experiment %s needs itself, through %s", name, by)
		case state[name] == closed:
			return nil
		}
		state[name] = open
		for _, need := range e.Needs {
			if err := visit(need, name); err != nil {
				return err
			}
		}
		state[name] = closed
		sorted = append(sorted, e)
		return nil
	}
	for _, e := range all {
		if e.settings == nil || e.Run == nil {
			return nil, errors.New("experiment " + e.Name + " was not made by define")
		}
		if err := visit(e.Name, ""); err != nil {
			return nil, err
		}
	}
	return sorted, nil
}
