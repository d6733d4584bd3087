package lab

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/host"
)

// change is the experiment of a driver with other settings.
func change(t *testing.T, e Experiment, changes map[string]any) Experiment {
	t.Helper()
	c, err := (&Driver{Profile: Quick}).Change(e, changes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The settings alone make the ID, and those of the profile make none.
func TestChangedSettingsHaveAnID(t *testing.T) {
	var f fakes
	e := f.fake("a", 2, nil)
	if same := change(t, e, map[string]any{"steps": int64(2)}); same.ID() != "a" || same.Folder != "a" {
		t.Errorf("a setting that keeps its value makes %s in %s", same.ID(), same.Folder)
	}
	three := change(t, e, map[string]any{"steps": int64(3)})
	if again := change(t, f.fake("a", 5, nil), map[string]any{"steps": 3.0}); again.ID() != three.ID() {
		t.Errorf("the same settings are %s and %s", three.ID(), again.ID())
	}
	if other := change(t, e, map[string]any{"steps": int64(4)}); other.ID() == three.ID() {
		t.Errorf("other settings are %s, too", other.ID())
	}
	if want := filepath.Join("custom", three.ID()); three.ID() != "a-545356d8" || three.Folder != want {
		t.Errorf("%s in %s, want it in %s", three.ID(), three.Folder, want)
	}
	if all, err := three.Changes(Quick); strings.Join(all, " ") != "steps=3" || err != nil {
		t.Errorf("it says %v (%v)", all, err)
	}
}

// Tables are changed key by key, lists as a whole; neither changes the profile's own settings.
func TestChangesOfTablesAndLists(t *testing.T) {
	type inner struct {
		X int `json:"x"`
		Y int `json:"y"`
	}
	type settings struct {
		Table inner            `json:"table"`
		List  []inner          `json:"list"`
		Names map[string]int   `json:"names"`
		More  map[string]inner `json:"more,omitempty"`
	}
	s := settings{inner{1, 2}, []inner{{3, 4}, {5, 6}}, map[string]int{"a": 1}, nil}
	e := Define(Experiment{Name: "e"}, map[Profile]settings{Full: s},
		func(context.Context, *Job, settings) (*Outcome, error) { return nil, nil })
	c := change(t, e, map[string]any{
		"table": map[string]any{"y": int64(7)}, "list": []any{map[string]any{"x": int64(8)}},
		"names": map[string]any{"b": int64(9)},
	})
	want := settings{inner{1, 7}, []inner{{8, 0}}, map[string]int{"a": 1, "b": 9}, nil}
	if got := c.Settings(Quick); !SameButKeys(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := e.Settings(Quick); !SameButKeys(got, settings{inner{1, 2}, []inner{{3, 4}, {5, 6}}, map[string]int{"a": 1},
		nil}) {
		t.Errorf("the profile's are now %+v", got)
	}
}

// checked are settings that refuse more than two steps.
type checked struct {
	Steps int     `json:"steps"`
	Rate  float64 `json:"rate"`
}

// Validate refuses what no run could do.
func (c checked) Validate() error {
	if c.Steps > 2 {
		return bounds.Wrong("steps", c.Steps, "at most 2")
	}
	return bounds.List("seeds", 1, 1, c.Steps)
}

// What no experiment takes, and what the settings themselves refuse, is an error with the key, the value and what is
// allowed.
func TestBadSettings(t *testing.T) {
	e := Define(Experiment{Name: "e"}, map[Profile]checked{Full: {Steps: 1}},
		func(context.Context, *Job, checked) (*Outcome, error) { return nil, nil })
	for want, changes := range map[string]map[string]any{
		"steps is 3: at most 2":                                     {"steps": int64(3)},
		"steps is -1: it must be from 0 to 1000000000":              {"steps": int64(-1)},
		"steps is 1000000001: it must be from 0 to 1000000000":      {"steps": int64(1_000_000_001)},
		"rate is -0.5: it must be from 0 to":                        {"rate": -0.5},
		"e: settings: json: unsupported value: NaN":                 {"rate": math.NaN()},
		"seeds is [1 1 2]: 1 is given twice":                        {"steps": int64(2)},
		`e: settings: json: unknown field "stops"`:                  {"stops": int64(2)},
		"e: settings: json: cannot unmarshal string into Go struct": {"steps": "two"},
	} {
		if _, err := (&Driver{Profile: Quick}).Change(e, changes); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A run with other settings leaves the protocol's result alone, is up to date with its own, and reads what others left
// with the profile's settings.
func TestDriverRunsCustomSettings(t *testing.T) {
	var f fakes
	read := ""
	look := func(_ context.Context, j *Job, _ int) error {
		read = j.File("a", "a.json")
		return nil
	}
	d := newDriver(t.TempDir(), f.fake("a", 1, nil), f.fake("b", 2, look, "a"), f.fake("c", 1, nil, "b"))
	check := func(want string, names ...string) {
		t.Helper()
		if ran, err := f.run(t, d, names...); ran != want || err != nil {
			t.Errorf("ran %q (%v), want %q", ran, err, want)
		}
	}
	check("a from 0, b from 0, c from 0")
	before, err := os.ReadFile(d.Path(d.Experiments[1]))
	if err != nil {
		t.Fatal(err)
	}
	b := change(t, d.Experiments[1], map[string]any{"steps": int64(3)})
	d.Custom = []Experiment{b}
	check("b from 0", "b")
	check("", "b")
	check("", "c", "b", "b")
	check("")
	if read != filepath.Join(d.Root, "a", "a.json") {
		t.Errorf("it reads %s", read)
	}
	if after, err := os.ReadFile(d.Path(d.Experiments[1])); err != nil || string(after) != string(before) {
		t.Errorf("the protocol's result has changed (%v)", err)
	}
	r, err := result.Read(filepath.Join(d.Root, "custom", b.ID(), "b.json"))
	if err != nil || r.Profile != Custom || r.Experiment != "b" || !r.Complete || r.Measurements[0].Mean != 3 {
		t.Errorf("%+v %v", r, err)
	}
	if err := os.Remove(d.Path(d.Experiments[0])); err != nil {
		t.Fatal(err)
	}
	d.Environment.Commit = "another" // so a's result is a new one
	check("a from 0, b from 0", "b")
}

// A custom run that is stopped continues with its own settings; meanwhile what needs the registered experiment runs
// that.
func TestDriverContinuesCustomSettings(t *testing.T) {
	var f fakes
	ctx, cancel := context.WithCancel(t.Context())
	stop := true
	d := newDriver(t.TempDir(), f.fake("a", 1, func(ctx context.Context, _ *Job, step int) error {
		if stop && step == 2 {
			cancel()
			return ctx.Err()
		}
		return nil
	}), f.fake("b", 1, nil, "a"))
	d.Custom = []Experiment{change(t, d.Experiments[0], map[string]any{"steps": int64(4)})}
	if ran, err := f.runContext(ctx, t, d, "a"); ran != "a from 0" || !errors.Is(err, context.Canceled) {
		t.Errorf("ran %s: %v", ran, err)
	}
	stop = false
	if ran, err := f.run(t, d, "a", "b"); ran != "a from 0, b from 0, a from 2" || err != nil {
		t.Errorf("ran %s: %v", ran, err)
	}
}

// A run that fails before it has written anything leaves no folder.
func TestDriverLeavesNoEmptyFolders(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("a", 1, func(context.Context, *Job, int) error { return errors.New("no") }))
	d.Custom = []Experiment{change(t, d.Experiments[0], map[string]any{"steps": int64(4)})}
	if _, err := f.run(t, d, "a"); err == nil {
		t.Fatal("it did not fail")
	}
	if left, err := os.ReadDir(d.Root); err != nil || slices.ContainsFunc(left, os.DirEntry.IsDir) {
		t.Errorf("left %v (%v)", left, err)
	}
}

// Seeds that a float64 does not tell apart are different settings.
func TestLargeSeedsDiffer(t *testing.T) {
	type seeded struct {
		Seeds []uint64 `json:"seeds"`
	}
	a, b := seeded{[]uint64{1 << 60}}, seeded{[]uint64{1<<60 + 1}}
	if SameButKeys(a, b) || !SameButKeys(a, json.RawMessage(`{"seeds":[1152921504606846976]}`)) {
		t.Errorf("%v and %v", Canonical(a), Canonical(b))
	}
	if !SameButKeys(json.RawMessage(`{"x":3,"lr":0.0001}`), json.RawMessage(`{"x":3.0,"lr":1e-4}`)) {
		t.Error("numbers that are spelt in another way differ")
	}
}

// The memory of a custom run is planned from its own settings.
func TestDriverPlansMemoryOfCustomSettings(t *testing.T) {
	var f fakes
	a := f.fake("a", 1, nil)
	a.Demands = func(j *Job) ([]Demand, error) {
		steps := j.Settings.(fakeSettings).Steps
		return []Demand{{Setting: "steps", Value: steps, What: "counting",
			Need: func(n int) (uint64, error) { return uint64(n-1) << 60, nil }}}, nil
	}
	d := newDriver(t.TempDir(), a)
	if ran, err := f.run(t, d); ran != "a from 0" || err != nil {
		t.Errorf("ran %s: %v", ran, err)
	}
	d.Custom = []Experiment{change(t, a, map[string]any{"steps": int64(3)})}
	if ran, err := f.run(t, d); host.Free().Known &&
		(ran != "" || err == nil || !strings.Contains(err.Error(), "steps 3: counting takes at least")) {
		t.Errorf("ran %s: %v", ran, err)
	}
}

// Files of the user's in the place of what a custom run leaves are moved aside, and what a killed run left is removed.
func TestDriverKeepsUsersFilesOfCustomRuns(t *testing.T) {
	var f fakes
	a := f.fake("a", 1, func(_ context.Context, j *Job, _ int) error {
		return os.WriteFile(filepath.Join(j.Dir, "weights"), []byte("w"), 0o600)
	})
	a.Files = []string{"weights"}
	d := newDriver(t.TempDir(), a)
	d.Custom = []Experiment{change(t, a, map[string]any{"steps": int64(2)})}
	dir := filepath.Join(d.Root, d.Custom[0].Folder)
	half := filepath.Join(dir, ".synapnet-weights-0123456789abcdef.tmp")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "weights"), []byte("mine"), 0o600),
		os.WriteFile(half, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.run(t, d, "a"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "weights.before")); err != nil || string(text) != "mine" {
		t.Errorf("the user's file: %q %v", text, err)
	}
	if _, err := os.Stat(half); err == nil {
		t.Error("what a killed run left is there")
	}
}

// The list has the custom results that are there with their states, and says of what is none why.
func TestCustomResults(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("a", 1, nil), f.fake("a-b", 1, nil, "a"))
	d.Custom = []Experiment{
		change(t, d.Experiments[0], map[string]any{"steps": int64(2)}),
		change(t, d.Experiments[1], map[string]any{"steps": int64(3)}),
	}
	if _, err := f.run(t, d); err != nil {
		t.Fatal(err)
	}
	folder := func(name, result string) {
		path := filepath.Join(d.Root, "custom", name, "a.json")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(result), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(d.Path(d.Custom[0]))
	if err != nil {
		t.Fatal(err)
	}
	folder("a-00000000", string(text))
	folder("a-00000001", "{")
	folder("a-00000002", strings.Replace(string(text), `"steps": 2`, `"stops": 2`, 1))
	folder("notes", "")
	folder("a-notes", "")
	if err := os.Mkdir(filepath.Join(d.Root, "custom", "a-00000003"), 0o755); err != nil { // of a run without a result yet
		t.Fatal(err)
	}
	list := func() string {
		t.Helper()
		plan, err := d.Plan()
		if err != nil {
			t.Fatal(err)
		}
		steps, err := d.CustomResults(plan)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, s := range steps {
			changes, err := s.Changes(Quick)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s.ID()+" "+s.State.String()+" "+strings.Join(changes, " "))
		}
		return strings.Join(all, ", ")
	}
	d.Custom = nil
	bad := "a-00000000 of another run , a-00000001 unreadable , a-00000002 unreadable , "
	if got := list(); got != bad+"a-43d1333e up to date steps=2, a-b-545356d8 up to date steps=3" {
		t.Errorf("there are %s", got)
	}
	if err := os.Remove(d.Path(d.Experiments[0])); err != nil {
		t.Fatal(err)
	}
	if got := list(); !strings.HasSuffix(got, "a-b-545356d8 after steps=3") {
		t.Errorf("without what it needs: %s", got)
	}
}
