package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/shell"
)

// State says what a run has to do for an experiment.
type State int

// The states of an experiment's result.
const (
	UpToDate   State = iota // complete, of these settings and inputs
	Missing                 // there is none
	Unfinished              // of these settings and inputs, interrupted: it continues
	Stale                   // of other settings or inputs, or a file beside it is gone: it is measured anew
	Waits                   // an experiment that it needs has to run first
	Unreadable              // the file is no valid result: nothing is done
	Foreign                 // it is a result of another experiment or profile, which is not overwritten: nothing is done
)

// Blocked says that nothing is done because of what is in the result's place: the step's reason says the mend.
func (s State) Blocked() bool { return s == Unreadable || s == Foreign }

// String is the state in a word or two.
func (s State) String() string {
	return [...]string{"up to date", "missing", "unfinished", "stale", "after", "unreadable", "of another run"}[s]
}

// Step is an experiment in a plan.
type Step struct {
	Experiment
	State    State
	Reason   string         // of the state; "" for up to date and missing
	Time     time.Duration  // that the rest takes, estimated; 0 for up to date or where nothing is known
	Measured bool           // Time is what an earlier run took
	Result   *result.Result // what is there, nil for missing and unreadable
	// Keys is the version of the keys of its samples: that of what is there, if that counts or continues, or else the
	// current one. It is 1 for experiments that draw none.
	Keys tasks.Keys
}

// Driver plans and runs experiments on one results folder.
type Driver struct {
	Profile     Profile
	Root        string       // the results folder
	Experiments []Experiment // all that are registered
	// Custom are experiments with other settings, made by Change. A plan has them in place of the registered ones of their
	// names that are asked for; what others need is the registered.
	Custom      []Experiment
	Environment result.Environment
	Jobs        int // experiments at a time, at least 1
	Hooks       Hooks
	Python      []string // interpreters of Python that the machine has for experiments with another program

	sums map[string]string // SHA-256 by path, of one plan
}

// Names lists the experiments.
func (d *Driver) Names() []string {
	var names []string
	for _, e := range d.Experiments {
		names = append(names, e.Name)
	}
	return names
}

// Path is where the result of an experiment is.
func (d *Driver) Path(e Experiment) string { return ResultPath(d.Root, e) }

// ResultPath is where the result of an experiment is in a results folder.
func ResultPath(root string, e Experiment) string {
	return filepath.Join(root, e.Folder, e.Name+".json")
}

// Plan lists the named experiments and those that they need, all without a name, in the order in which they run. It
// only reads.
func (d *Driver) Plan(names ...string) ([]*Step, error) {
	if info, err := os.Stat(d.Root); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: give a folder for the results", d.Root)
	}
	sorted, err := order(d.Experiments)
	if err != nil {
		return nil, err
	}
	registered, custom := d.asked(names)
	needed := slices.Clone(registered)
	for _, e := range custom {
		needed = append(needed, e.Needs...)
	}
	wanted, err := closure(sorted, needed)
	if err != nil {
		return nil, err
	}
	d.sums = map[string]string{}
	var steps []*Step
	states := map[string]State{}
	for _, e := range append(slices.DeleteFunc(sorted, func(e Experiment) bool { return !wanted[e.Name] }), custom...) {
		s := &Step{Experiment: e}
		if err := d.inspect(s, states); err != nil {
			return nil, err
		}
		if e.custom == "" {
			states[e.Name] = s.State
		}
		steps = append(steps, s)
	}
	if len(names) == 0 {
		return steps, nil
	}
	return steps, d.checkModel(steps, registered)
}

// LeaveOut takes out of a plan what this machine cannot run for the lack of something that does not come with the
// program, and says in a line of each which and why. One that is among names, or for which a Python was named, is an
// error.
func (d *Driver) LeaveOut(steps []*Step, names []string, named bool) (rest []*Step, lines string, err error) {
	for _, s := range steps {
		if s.State != UpToDate && s.Lacks != nil {
			if err := s.Lacks(d.Python); err != nil {
				if named || slices.Contains(names, s.Name) {
					return nil, "", fmt.Errorf("experiment %s cannot run: %w", s.Name, err)
				}
				lines += fmt.Sprintf("%s is left out: %v\n", s.ID(), err)
				continue
			}
		}
		rest = append(rest, s)
	}
	return rest, lines, nil
}

// asked are the experiments of the given names, all without a name: the names of those with the profile's settings, and
// those with others.
func (d *Driver) asked(names []string) (registered []string, custom []Experiment) {
	if len(names) == 0 {
		names = d.Names()
	}
	for n, name := range names {
		if slices.Contains(names[:n], name) {
			continue
		}
		if i := slices.IndexFunc(d.Custom, func(e Experiment) bool { return e.Name == name }); i >= 0 {
			custom = append(custom, d.Custom[i])
		} else {
			registered = append(registered, name)
		}
	}
	return registered, custom
}

// closure are the experiments of the given names and all that they need.
func closure(sorted []Experiment, names []string) (map[string]bool, error) {
	wanted := map[string]bool{}
	for _, name := range names {
		if !slices.ContainsFunc(sorted, func(e Experiment) bool { return e.Name == name }) {
			return nil, fmt.Errorf("there is no experiment %s", name)
		}
		wanted[name] = true
	}
	for _, e := range slices.Backward(sorted) { // what needs comes behind what is needed

		for _, need := range e.Needs {
			wanted[need] = wanted[need] || wanted[e.Name]
		}
	}
	return wanted, nil
}

// checkModel refuses to pretrain a model of the reference's size, which takes the better part of an hour or more, where
// the user asked for something else.
func (d *Driver) checkModel(steps []*Step, names []string) error {
	const pretrain = "pretrain"
	if d.Profile == Quick || slices.Contains(names, pretrain) {
		return nil
	}
	for _, s := range steps {
		if s.ID() != pretrain || s.State == UpToDate {
			continue
		}
		if s.State.Blocked() {
			return errors.New(s.Reason)
		}
		model := filepath.Join(d.Root, s.Folder, ModelFile)
		about := "there is no pretrained model " + model
		if s.State != Missing {
			about = fmt.Sprintf("the pretrained model %s is %s", model, s.State)
			if s.Reason != "" {
				about += " (" + s.Reason + ")"
			}
		}
		words := []string{"experiments", "run", pretrain, "--results", d.Root}
		if d.Profile != Full {
			words = append(words, "--profile", string(d.Profile))
		}
		return fmt.Errorf("%s: make it with '%s' (about %s), or run the small sizes with --profile quick",
			about, shell.CommandLine(words...), roundTime(s.Time))
	}
	return nil
}

// inspect finds the state of a step from its file and the states of the steps before it.
func (d *Driver) inspect(s *Step, states map[string]State) error {
	s.Time = s.estimate(d.Profile)
	s.Keys = keysOf(s.Settings(d.Profile))
	path := d.Path(s.Experiment)
	r, err := result.Read(path)
	var invalid *result.Invalid
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.State = Missing
	case errors.As(err, &invalid):
		s.State, s.Reason, s.Time = Unreadable, err.Error(), 0
		return nil
	case err != nil:
		return err
	}
	s.Result = r
	switch {
	case r == nil:
	case r.Experiment != s.Name:
		s.State, s.Time = Foreign, 0
		s.Reason = fmt.Sprintf("%s is a result of %s: move it away", path, r.Experiment)
		return nil
	case r.Profile != s.profile(d.Profile):
		s.State, s.Time = Foreign, 0
		s.Reason = fmt.Sprintf("%s is a result of %s, profile %s, not %s: move it away, or give --profile or another "+
			"--results",
			path, r.Experiment, r.Profile, s.profile(d.Profile))
		return nil
	}
	for _, need := range s.Needs {
		if states[need] != UpToDate {
			s.State, s.Reason = Waits, need
			if r != nil {
				s.known(r, d.Profile)
			}
			return nil
		}
	}
	mark := ""
	if r == nil {
		if mark, err = workKey(path); err != nil || mark == "" {
			return err
		}
	} else if SameButKeys(r.Config, s.Settings(d.Profile)) {
		s.Keys = keysOf(r.Config)
	}
	inputs, err := d.inputs(s.Experiment)
	if err != nil { // what it needs is complete, and cannot be read
		s.State, s.Reason, s.Time = Unreadable, fmt.Sprintf("%v; delete it: the same command makes it again", err), 0
		return nil
	}
	f, err := NewResultFile(s.Experiment, s.profile(d.Profile), s.settings(d.Profile, s.Keys), inputs, path, d.Environment)
	if err != nil {
		return err
	}
	if r == nil {
		return s.begun(mark, f.head, d.Profile)
	}
	s.compare(r, f.head, d)
	s.renew(r, d)
	return nil
}

// OldSamples says whether the samples of what is there were drawn with keys of before. It stays valid; measured anew,
// it would be on other samples.
func (s *Step) OldSamples(p Profile) bool { return s.Result != nil && s.Keys < keysOf(s.Settings(p)) }

// begun finds the version of the keys of samples of a run that was killed before it had a result: the mark in its
// folder of working files is the key of what it was of.
func (s *Step) begun(mark string, now result.Result, p Profile) error {
	for k := tasks.Keys1; k < s.Keys && mark != now.Key; k++ {
		config, err := json.Marshal(s.settings(p, k))
		if err != nil {
			return err
		}
		key, err := keyOf(s.Experiment, now.Profile, config, now.Inputs)
		if err != nil {
			return err
		}
		if key == mark {
			s.Keys = k
			return nil
		}
	}
	return nil
}

// renew says with which keys of samples a stale result is measured anew.
func (s *Step) renew(r *result.Result, d *Driver) {
	if s.State != Stale {
		return
	}
	was := s.Keys
	if s.Keys = keysOf(s.Settings(d.Profile)); was != s.Keys {
		s.Reason += fmt.Sprintf("; measured anew, on samples of keys %d in place of %d", s.Keys, was)
	}
}

// compare finds the state of a result from what it would have to be made of now.
func (s *Step) compare(r *result.Result, now result.Result, d *Driver) {
	s.known(r, d.Profile)
	switch {
	case r.Key != now.Key && s.carries(r, now):
		s.State, s.Reason = Unfinished,
			fmt.Sprintf("protocol version %d, now %d: what is the same is kept", r.Version, now.Version)
		s.Time = s.estimate(d.Profile) // at most
		s.Measured = false
	case r.Key != now.Key:
		s.State, s.Reason = Stale, difference(r, now)
	case !r.Complete && s.OneMachine && MachineOf(r.Environment) != MachineOf(now.Environment):
		s.State, s.Reason = Stale, fmt.Sprintf("begun on %s, this is %s", MachineOf(r.Environment),
			MachineOf(now.Environment))
	case !r.Complete:
		s.State = Unfinished
	default:
		s.State, s.Reason = d.checkFiles(s, r)
		if s.State == UpToDate {
			s.Time = 0
		}
	}
}

// checkFiles says whether the files beside a finished result are those that its run left.
func (d *Driver) checkFiles(s *Step, r *result.Result) (State, string) {
	for _, name := range s.Files {
		path := filepath.Join(d.Root, s.Folder, name)
		if _, err := os.Stat(path); err != nil {
			return Stale, name + " is gone"
		}
		want, known := r.Outputs[name]
		if !known {
			continue // of an earlier program, which did not say
		}
		switch sum, err := d.sum(path); {
		case err != nil:
			return Stale, name + " cannot be read"
		case sum != want:
			return Stale, name + " is not what it left"
		}
	}
	return UpToDate, ""
}

// MachineOf names what times depend on besides the program.
func MachineOf(e result.Environment) string {
	return fmt.Sprintf("%s (%s, %s, %s, %s, %d threads)", e.Host, e.CPU, strings.Join(e.Features, " "), e.SIMD, e.BLAS,
		e.Threads)
}

// carries says whether a result differs in nothing but an earlier version that continues under today's.
func (s *Step) carries(r *result.Result, now result.Result) bool {
	return s.Carries > 0 && r.Version >= s.Carries && r.Version < now.Version && maps.Equal(r.Inputs, now.Inputs) &&
		reflect.DeepEqual(Canonical(r.Config), Canonical(now.Config))
}

// difference says why a result has another key.
func difference(r *result.Result, now result.Result) string {
	var changed []string
	if !reflect.DeepEqual(Canonical(r.Config), Canonical(now.Config)) {
		changed = append(changed, "settings")
	}
	if r.Version != now.Version {
		changed = append(changed, fmt.Sprintf("protocol version %d, now %d", r.Version, now.Version))
	}
	names := maps.Clone(r.Inputs)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, now.Inputs)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if r.Inputs[name] != now.Inputs[name] {
			changed = append(changed, name)
		}
	}
	return "changed: " + strings.Join(changed, ", ")
}

// known corrects the estimate by what an earlier run of the same settings took.
func (s *Step) known(r *result.Result, p Profile) {
	spent := time.Duration(r.Cost.WallSeconds * float64(time.Second))
	if spent <= 0 || !SameButKeys(r.Config, s.Settings(p)) {
		return
	}
	if r.Complete {
		s.Time, s.Measured = spent, true
		return
	}
	s.Time = max(0, s.Time-spent)
}

// inputs are the SHA-256 of all that an experiment reads: the results of those it needs, and the files beside them.
func (d *Driver) inputs(e Experiment) (map[string]string, error) {
	if len(e.Needs) == 0 {
		return nil, nil
	}
	inputs := map[string]string{}
	for _, name := range e.Needs {
		i := slices.IndexFunc(d.Experiments, func(x Experiment) bool { return x.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("experiment %s needs %s, which is not registered", e.Name, name)
		}
		need := d.Experiments[i]
		if err := d.hash(inputs, name, d.Path(need)); err != nil {
			return nil, err
		}
		for _, file := range need.Files {
			if err := d.hash(inputs, name+"/"+file, filepath.Join(d.Root, need.Folder, file)); err != nil {
				return nil, err
			}
		}
	}
	return inputs, nil
}

func (d *Driver) hash(inputs map[string]string, name, path string) (err error) {
	inputs[name], err = d.sum(path)
	return err
}

// sum is the SHA-256 of a file, computed once a plan.
func (d *Driver) sum(path string) (string, error) {
	if sum, ok := d.sums[path]; ok {
		return sum, nil
	}
	sum, err := files.HashFile(path)
	if err == nil {
		d.sums[path] = sum
	}
	return sum, err
}

// TimeLeft is the sum of the steps' times.
func TimeLeft(steps []*Step) time.Duration {
	var sum time.Duration
	for _, s := range steps {
		sum += s.Time
	}
	return sum
}

// roundTime rounds a time to what an estimate deserves.
func roundTime(t time.Duration) time.Duration {
	switch {
	case t > time.Hour:
		return t.Round(5 * time.Minute)
	case t > 10*time.Minute:
		return t.Round(time.Minute)
	case t > time.Minute:
		return t.Round(10 * time.Second)
	}
	return t.Round(time.Second)
}
