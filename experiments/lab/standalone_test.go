package lab

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// jointSettings are those of an experiment whose results may grow by names.
type jointSettings struct {
	Names      []string   `json:"names"`
	Samples    int        `json:"samples"`
	SampleKeys tasks.Keys `json:"sample_keys,omitempty"`
}

func (s jointSettings) Join(held jointSettings) (whole, rest jointSettings) {
	whole = s
	whole.Names = Union(held.Names, s.Names)
	held.Names = whole.Names
	return whole, held
}

// jointExperiment has a cell a name, which it computes by compute.
func jointExperiment(compute func(name string) (int, error)) Experiment {
	return Define(Experiment{Name: "joint", Apart: "move it away"},
		map[Profile]jointSettings{Quick: {Names: []string{"a", "b"}}},
		func(ctx context.Context, j *Job, s jointSettings) (*Outcome, error) {
			whole := j.Whole.(jointSettings)
			cells, err := NewCells[int](j, len(whole.Names))
			if err != nil {
				return nil, err
			}
			cells.Outcome = func() (*Outcome, error) { return jointOutcome(whole, cells.Done), nil }
			for _, name := range s.Names {
				if _, err := cells.Do(ctx, name, func() (int, error) { return compute(name) }); err != nil {
					return nil, err
				}
			}
			return cells.Finish()
		})
}

func jointOutcome(s jointSettings, cells map[string]int) *Outcome {
	o := &Outcome{}
	for _, name := range s.Names {
		x, ok := cells[name]
		o.Partial = o.Partial || !ok
		if ok {
			l := result.Labels{result.VariantLabel: name}
			o.Measurements = append(o.Measurements, result.ExactOf(l, result.Strict, "value", "1", float64(x)))
		}
	}
	return o
}

// standalone runs the experiment by a command of its own.
func standalone(t *testing.T, e Experiment, s jointSettings, inputs map[string]string, path string) (*result.Result,
	error) {
	t.Helper()
	j, _, err := Standalone(e, s, inputs, path, result.Environment{Commit: "c"})
	if err != nil {
		return nil, err
	}
	return j.Run(t.Context(), e)
}

// Runs on one file join: each computes what it asks for and is not there, the file holds all, and is complete when no
// cell of all its settings is missing. A run that finds all there costs nothing.
func TestSettingsJoin(t *testing.T) {
	var computed []string
	e := jointExperiment(func(name string) (int, error) {
		computed = append(computed, name)
		return len(name), nil
	})
	path := filepath.Join(t.TempDir(), "new", "r.json")
	step := func(names, wantComputed, wantNames string, profile string) *result.Result {
		t.Helper()
		computed = nil
		r, err := standalone(t, e, jointSettings{Names: strings.Fields(names)}, nil, path)
		if err != nil {
			t.Fatal(err)
		}
		var s jointSettings
		if err := json.Unmarshal(r.Config, &s); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(computed, " "); got != wantComputed || strings.Join(s.Names, " ") != wantNames ||
			len(r.Measurements) != len(s.Names) ||
			!r.Complete || r.Profile != profile {
			t.Errorf("%s: computed %q, the file holds %v (%d measurements, complete %t, %s)", names, got, s.Names,
				len(r.Measurements), r.Complete, r.Profile)
		}
		return r
	}
	step("b", "b", "b", Custom)
	step("a b", "a", "a b", string(Quick)) // the order of the whole, which is a profile's
	was := step("a", "", "a b", string(Quick))
	if again := step("a b", "", "a b", string(Quick)); again.Cost != was.Cost {
		t.Errorf("nothing was computed, and the cost went from %+v to %+v", was.Cost, again.Cost)
	}
	step("c", "c", "a b c", Custom)
	if left, err := filepath.Glob(path + ".work"); err != nil || left != nil {
		t.Errorf("left %v", left)
	}
}

// A file of other settings, of another model or of another experiment is refused and stays as it is.
func TestWhatDoesNotJoin(t *testing.T) {
	dir := t.TempDir()
	path, model, other := filepath.Join(dir, "r.json"), filepath.Join(dir, "m"), filepath.Join(dir, "o")
	for _, f := range []string{model, other} {
		if err := os.WriteFile(f, []byte(f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := jointExperiment(func(string) (int, error) { return 1, nil })
	s := jointSettings{Names: []string{"a"}}
	if _, err := standalone(t, e, s, ModelInputs(model), path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	renamed := e
	renamed.Name = "another"
	more := s
	more.Samples = 7
	for want, run := range map[string]func() (*result.Result, error){
		"r.json holds results of other settings (samples 0, not 7): move it away": func() (*result.Result, error) {
			return standalone(t, e, more,
				ModelInputs(model), path)
		},
		"holds results of another base model: move it away": func() (*result.Result, error) {
			return standalone(t, e, s,
				ModelInputs(other), path)
		},
		"holds results of joint": func() (*result.Result, error) {
			return standalone(t, renamed,
				s, ModelInputs(model), path)
		},
	} {
		if _, err := run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed (%v)", err)
	}
}

// What a file began with, the version of the keys of samples, goes on, and is said; a file of an earlier form goes on
// in today's.
func TestStandaloneContinuesWhatItFinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	failing := jointExperiment(func(name string) (int, error) {
		if name == "b" {
			return 0, errors.New("stopped")
		}
		return 1, nil
	})
	if _, err := standalone(t, failing, jointSettings{Names: []string{"a", "b"}, SampleKeys: tasks.Keys1}, nil,
		path); err == nil {
		t.Fatal("it did not stop")
	}
	r, err := result.Read(path)
	if err != nil || r.Complete {
		t.Fatal(err)
	}
	r.Details = json.RawMessage(`{"old":{"a":5}}`)
	if err := result.Write(path, r); err != nil {
		t.Fatal(err)
	}
	e := jointExperiment(func(string) (int, error) { return 2, nil })
	e.Convert = convertJoint
	j, f, err := Standalone(e, jointSettings{Names: []string{"a", "b"}, SampleKeys: tasks.CurrentKeys}, nil, path,
		result.Environment{Commit: "c"})
	if err != nil || !strings.Contains(f.Note, "goes on with them, not with") ||
		j.Settings.(jointSettings).SampleKeys.Version() != tasks.Keys1 {
		t.Fatalf("%v, note %q, settings %+v", err, f.Note, j.Settings)
	}
	r, err = j.Run(t.Context(), e)
	if err != nil || len(r.Measurements) != 2 || r.Measurements[0].Mean != 5 || r.Measurements[1].Mean != 2 ||
		!r.Complete {
		t.Errorf("%+v (%v)", r, err)
	}
}

// convertJoint reads {"old": cells}.
func convertJoint(settings, details json.RawMessage) (*Outcome, error) {
	var old struct {
		Old map[string]int `json:"old"`
	}
	var s jointSettings
	if err := errors.Join(json.Unmarshal(details, &old), json.Unmarshal(settings, &s)); err != nil || old.Old == nil {
		return nil, err
	}
	o := jointOutcome(s, old.Old)
	o.Details = Cells[int]{Done: old.Old}
	return o, nil
}

// Union keeps what is held in its order, unless the wanted list has all of it.
func TestUnion(t *testing.T) {
	for _, c := range [][3]string{{"", "a b", "a b"}, {"b", "a b", "a b"}, {"a b", "b", "a b"}, {"b a", "c a", "b a c"}} {
		if got := strings.Join(Union(strings.Fields(c[0]), strings.Fields(c[1])), " "); got != c[2] {
			t.Errorf("%s and %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// Conversion changes the form of details and carries new hashes to what depends on them: all is up to date that was. It
// repeats to nothing, and mends a conversion that was cut off after the first file.
func TestConvert(t *testing.T) {
	var f fakes
	joint := jointExperiment(func(string) (int, error) { return 3, nil })
	last := f.fake("last", 1, nil, "middle")
	d := newDriver(t.TempDir(), joint, f.fake("middle", 1, nil, "joint"), last, f.fake("apart", 1, nil))
	if _, err := f.run(t, d); err != nil {
		t.Fatal(err)
	}
	const current = "joint up to date, middle up to date, last up to date, apart up to date"
	path := d.Path(joint)
	spoil := func(change func(r *result.Result)) {
		t.Helper()
		r, err := result.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		if err := result.Write(path, r); err != nil {
			t.Fatal(err)
		}
	}
	spoil(func(r *result.Result) { r.Details = json.RawMessage(`{"old":{"a":3,"b":3}}`) })
	if _, err := f.run(t, d, "last"); err != nil { // as an earlier program left them
		t.Fatal(err)
	}
	if got := states(t, d); got != current {
		t.Fatal(got)
	}
	before := contents(t, d.Root)
	d.Experiments[0].Convert = convertJoint
	all, err := d.Convert()
	if err != nil || len(all) != 3 || all[0].Converted != 2 || !slices.Equal(all[1].Inputs, []string{"joint"}) ||
		!slices.Equal(all[2].Inputs, []string{"middle"}) {
		t.Fatalf("%+v (%v)", all, err)
	}
	if got := states(t, d); got != current {
		t.Errorf("after conversion: %s", got)
	}
	after := contents(t, d.Root)
	if all, err := d.Convert(); err != nil || all != nil || !maps.Equal(contents(t, d.Root), after) {
		t.Errorf("again: %+v (%v)", all, err)
	}
	// Cut off before the first file of the chain, which is written last.
	if err := os.WriteFile(path, []byte(before[path]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Convert("joint"); err != nil || !maps.Equal(contents(t, d.Root), after) {
		t.Errorf("after a cut: %v", err)
	}
	// Details that give other numbers are refused, and nothing changes.
	for what, details := range map[string]string{"another value": `{"old":{"a":3,"b":4}}`,
		"one fewer": `{"old":{"a":3}}`} {
		spoil(func(r *result.Result) { r.Details = json.RawMessage(details) })
		before := contents(t, d.Root)
		if _, err := d.Convert(); err == nil || !strings.Contains(err.Error(),
			"joint.json: its details do not give the measurement that it has of value map[variant:b]") {
			t.Errorf("%s: %v", what, err)
		}
		if !maps.Equal(contents(t, d.Root), before) {
			t.Errorf("%s: files have changed", what)
		}
	}
}

// What today's program computes from the cells besides is added, once, and what depends on the result stays up to date;
// cells that give other numbers than the file's are refused.
func TestConvertAdds(t *testing.T) {
	var f fakes
	joint := jointExperiment(func(string) (int, error) { return 3, nil })
	d := newDriver(t.TempDir(), joint, f.fake("last", 1, nil, "joint"))
	if _, err := f.run(t, d); err != nil {
		t.Fatal(err)
	}
	d.Experiments[0].Recompute = func(r *result.Result, _ func() (layers.Config, error)) (*Outcome, error) {
		s, cells, err := Kept[jointSettings, int](r)
		if err != nil {
			return nil, err
		}
		o := jointOutcome(s, cells)
		o.Measurements = append(o.Measurements, result.ExactOf(result.Labels{}, result.Strict, "cells", "1",
			float64(len(cells))))
		return o, nil
	}
	all, err := d.Convert()
	if err != nil || len(all) != 2 || all[0].Added != 1 || all[0].Converted != 0 ||
		!slices.Equal(all[1].Inputs, []string{"joint"}) {
		t.Fatalf("%+v (%v)", all, err)
	}
	r, err := result.Read(d.Path(joint))
	if err != nil || len(r.Measurements) != 3 || r.Measurements[2].Mean != 2 {
		t.Errorf("%+v (%v)", r, err)
	}
	if got := states(t, d); got != "joint up to date, last up to date" {
		t.Error(got)
	}
	if all, err := d.Convert(); err != nil || all != nil {
		t.Errorf("again: %+v (%v)", all, err)
	}
	r.Measurements[0].Mean++
	if err := result.Write(d.Path(joint), r); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Convert(); err == nil || !strings.Contains(err.Error(), "its details do not give the measurement") {
		t.Errorf("got %v", err)
	}
}

// What cannot be converted is one line that names the folder or the file once.
func TestConvertRefuses(t *testing.T) {
	e := jointExperiment(func(string) (int, error) { return 3, nil })
	d := newDriver(filepath.Join(t.TempDir(), "none"), e)
	if _, err := d.Convert(); err == nil || err.Error() != "there is no folder "+d.Root+": give another --results" {
		t.Errorf("got %v", err)
	}
	path := d.Path(e)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Convert(); err == nil || strings.Count(err.Error(), path) != 1 {
		t.Errorf("got %v", err)
	}
}

// contents are the results in a folder, by path.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(root, "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	return all
}
