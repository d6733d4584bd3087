// Package report turns the results in a folder into pages for people: report.html, which needs nothing besides itself,
// and report.md with the same tables.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

// The files of a report in the results folder.
const (
	HTMLFile     = "report.html"
	MarkdownFile = "report.md"
)

// Report is all that the pages say.
type Report struct {
	Profile  lab.Profile
	Claims   []Verdict
	Sections []Section
	Custom   []Section // of other settings than the profile's: none unless it is asked for
	// CustomClaims are verdicts by the results of other settings, as far as these have the measurements.
	CustomClaims []Verdict
	// Of the profile strong, beside a reproduction: what is measured, and what is not yet.
	Strong       []Section
	StrongClaims []Verdict
	StrongNotRun []string // experiments
	Chosen       []Chosen // of the strong model, scored on fresh data
	Map          []MapRow
	Complete     int // experiments with a finished result
	Compared     int // published shares with ours beside them, where ours has an interval
	Inside       int // of them, those that lie in our 95% interval
	Wall         string
	Machines     []Machine
}

// Section is an experiment.
type Section struct {
	Profile                   lab.Profile
	ID                        string // on the page: the name, with the profile where it is not the report's
	Name, Title, Source, Says string
	File                      string // of the result, in the results folder
	State                     string // complete, unfinished, stale, missing or unreadable
	Reason                    string // of a state that is not complete
	Protocol                  string
	Facts                     []Fact
	Brief                     []string // the facts that a reader wants at once
	Tables                    []*Table
	Measurements              int
	Compared, Inside          int
	Seconds                   float64 // that it took
	Wall, Commit              string
	Machine                   string // its name in the report
}

// Fact is a line about a result: seeds, host, cost.
type Fact struct{ Name, Value string }

// MapRow says which experiments answer a row of the public README.
type MapRow struct {
	List, Row string
	First     bool // of its list
	Answers   []Answer
}

// Answer is an experiment with the state of its result.
type Answer struct{ Name, State string }

// New makes the report of a driver's results folder. strong, if any, has those of the profile strong, whose verdicts
// then come first.
func New(d, strong *lab.Driver) (*Report, error) {
	steps, err := d.Plan()
	if err != nil {
		return nil, err
	}
	r := &Report{Profile: d.Profile, Claims: judgeAll(d.Profile, steps)}
	states := map[string]string{"report": "complete"}
	var wall float64
	for _, e := range d.Experiments {
		s, step, err := r.section(d, steps, e)
		if err != nil {
			return nil, err
		}
		states[e.Name] = s.State
		if s.State == "complete" {
			r.Complete++
		}
		if step.Result != nil {
			wall += step.Result.Cost.WallSeconds
		}
		r.Compared, r.Inside = r.Compared+s.Compared, r.Inside+s.Inside
		r.Sections = append(r.Sections, *s)
	}
	r.Wall = duration(wall)
	if d.Profile == lab.Strong {
		r.Chosen = allChosen(steps, func(name string) string { return name })
	}
	if strong != nil {
		if err := r.addStrong(strong); err != nil {
			return nil, err
		}
	}
	r.describe()
	list := ""
	for _, row := range SeedRows() {
		m := MapRow{List: row.List, Row: row.Row, First: row.List != list}
		list = row.List
		for _, name := range row.Answer(d.Experiments) {
			m.Answers = append(m.Answers, Answer{name, states[name]})
		}
		r.Map = append(r.Map, m)
	}
	return r, nil
}

// section is that of an experiment of a driver's plan, on the machine that it was measured on.
func (r *Report) section(d *lab.Driver, steps []*lab.Step, e lab.Experiment) (*Section, *lab.Step, error) {
	step := steps[slices.IndexFunc(steps, func(s *lab.Step) bool { return s.Name == e.Name })]
	s, err := newSection(step, d.Root, d.Path(e), d.Profile)
	if err == nil && s.Measurements > 0 && !gathers(s.Name) {
		s.on(r.machineOf(step.Result.Environment))
	}
	return s, step, err
}

// addStrong adds the results of the profile strong and the verdicts by them. Those that are not there yet are named.
func (r *Report) addStrong(d *lab.Driver) error {
	steps, err := d.Plan()
	if err != nil {
		return err
	}
	id := func(name string) string { return string(lab.Strong) + "-" + name }
	there := map[string]bool{}
	for _, e := range d.Experiments {
		s, _, err := r.section(d, steps, e)
		if err != nil {
			return err
		}
		if s.State == "missing" || s.Measurements == 0 && s.State == "unfinished" {
			r.StrongNotRun = append(r.StrongNotRun, e.Name)
			continue
		}
		there[e.Name] = true
		s.ID, s.Title, s.File = id(s.Name), s.Title+", strong model", path.Join(string(lab.Strong), s.File)
		r.Strong = append(r.Strong, *s)
	}
	for _, v := range judgeAll(lab.Strong, steps) {
		if there[v.Experiment] {
			v.Section = id(v.Section)
			r.StrongClaims = append(r.StrongClaims, v)
		}
	}
	r.Chosen = allChosen(steps, id)
	return nil
}

// NotYetRun says in a line what the profile strong lacks; "" for nothing.
func (r *Report) NotYetRun() string {
	if len(r.StrongNotRun) == 0 {
		return ""
	}
	return "Not yet run on the strong model: " + strings.Join(r.StrongNotRun, ", ") + "."
}

// addCustom adds sections of the results with other settings than the profile's.
func (r *Report) addCustom(d *lab.Driver) error {
	plan, err := d.Plan()
	if err != nil {
		return err
	}
	steps, err := d.CustomResults(plan)
	if err != nil {
		return err
	}
	for _, step := range steps {
		s, err := newSection(step, d.Root, d.Path(step.Experiment), lab.Custom)
		if err != nil {
			return err
		}
		changes, err := step.Changes(d.Profile)
		if err != nil {
			return err
		}
		s.Says, s.Protocol = "As "+s.Name+" above, but for its settings.", "that of "+s.Name+" with these settings"
		s.ID, s.Name, s.Title = step.ID(), step.ID(), s.Title+", other settings"
		changed := Fact{"settings", strings.Join(changes, " ")}
		s.Facts, s.Brief = append([]Fact{changed}, s.Facts...), append([]string{changed.Value}, s.Brief...)
		r.Custom = append(r.Custom, *s)
		r.CustomClaims = append(r.CustomClaims, claimsOf(d.Profile, step)...)
	}
	return nil
}

// newSection makes the section of an experiment.
func newSection(step *lab.Step, root, path string, profile lab.Profile) (*Section, error) {
	s := &Section{Profile: profile, ID: step.Name, Name: step.Name, Title: step.Title, Source: step.Source,
		Says: step.Says.Of(profile)}
	if file, err := filepath.Rel(root, path); err == nil {
		s.File = filepath.ToSlash(file)
	}
	s.State, s.Reason = stateOf(step)
	r := step.Result
	if r == nil || len(r.Measurements) == 0 {
		return s, nil
	}
	s.Protocol, s.Measurements = r.Protocol, len(r.Measurements)
	s.Seconds, s.Wall, s.Commit = r.Cost.WallSeconds, duration(r.Cost.WallSeconds), short(r.Environment.Commit)
	s.Facts = facts(r)
	s.Brief = []string{count(len(r.Seeds), "seed"), "n " + s.Facts[1].Value, "commit " + s.Commit}
	if profile != lab.Full { // nothing that the paper's values could be compared with
		r = withoutPublished(r)
	}
	s.compare(r.Measurements)
	for _, v := range step.Views {
		v, all := pairs(v, r.Measurements)
		t := newTable(v, all)
		if t == nil {
			continue
		}
		if err := t.draw(v, all); err != nil {
			return nil, fmt.Errorf("%s: %w", step.Name, err)
		}
		s.Tables = append(s.Tables, t)
	}
	return s, nil
}

// on says on which machine the experiment was measured.
func (s *Section) on(machine string) {
	s.Machine = machine
	s.Brief = append(s.Brief, s.Wall+" on machine "+machine)
	s.Facts = append(s.Facts, Fact{"machine", machine})
}

// stateOf is a result's state in the report's words.
func stateOf(s *lab.Step) (state, reason string) {
	switch {
	case s.State.Blocked():
		return s.State.String(), s.Reason
	case s.Result == nil:
		return "missing", ""
	case s.State == lab.UpToDate:
		return "complete", ""
	case s.State == lab.Unfinished || !s.Result.Complete:
		return "unfinished", s.Reason
	case s.State == lab.Waits:
		return "stale", "it needs " + s.Reason + ", which is not up to date"
	}
	return "stale", s.Reason
}

func facts(r *result.Result) []Fact {
	var seeds []string
	for _, s := range r.Seeds {
		seeds = append(seeds, fmt.Sprint(s))
	}
	if len(seeds) == 0 {
		seeds = []string{"none"}
	}
	low, high := r.Measurements[0].N, r.Measurements[0].N
	for _, m := range r.Measurements {
		low, high = min(low, m.N), max(high, m.N)
	}
	n := thousands(fmt.Sprint(low))
	if high > low {
		n += " to " + thousands(fmt.Sprint(high))
	}
	e, c := r.Environment, r.Cost
	return []Fact{
		{"seeds", strings.Join(seeds, ", ")}, {"n", n}, {"commit", short(e.Commit)},
		{"host", fmt.Sprintf("%s: %s, %s, %s", e.Host, e.CPU, count(e.Threads, "thread"), e.Platform)},
		{"CPU features", strings.Join(e.Features, ", ")},
		{"kernels", e.SIMD + ", " + e.BLAS},
		{"took", fmt.Sprintf("%s, %s of CPU, %s at most", duration(c.WallSeconds), duration(c.CPUSeconds),
			bytesText(float64(c.PeakRSSBytes)))},
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// short is a commit as people write it.
func short(commit string) string {
	if len(commit) > 10 && !strings.ContainsAny(commit, " +") {
		return commit[:10]
	}
	return commit
}

func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%.0f s", seconds)
}

// maxPage is the most that a page may have, in bytes.
const maxPage = 256 << 20

// Write writes both pages into the results folder of d and gives their paths; strong is as in [New]. With custom they
// show at their end the results of other settings, too, apart from the others.
func Write(d, strong *lab.Driver, custom bool) (paths []string, r *Report, err error) {
	if r, err = New(d, strong); err != nil {
		return nil, nil, err
	}
	if custom {
		if err := r.addCustom(d); err != nil {
			return nil, nil, err
		}
	}
	page, err := r.HTML()
	if err != nil {
		return nil, nil, err
	}
	for _, f := range []struct {
		name string
		text []byte
		mark string // in the first lines of every report
	}{
		{HTMLFile, foreign.Lines(page), "<title>SynapNet-Edge: results"},
		{MarkdownFile, foreign.Lines(r.Markdown()), "# Results, profile "},
	} {
		path := filepath.Join(d.Root, f.name)
		switch old, err := files.Read(path, maxPage); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, nil, err
		case len(old) > 0 && !bytes.Contains(old[:min(len(old), 1<<10)], []byte(f.mark)):
			return nil, nil, fmt.Errorf("%s is not a report of this program: move it away, or give another --results", path)
		}
		if err := files.Write(path, f.text); err != nil {
			return nil, nil, err
		}
		paths = append(paths, path)
	}
	return paths, r, nil
}
