package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
)

// fakes are experiments that count their runs.
type fakes struct {
	mu   sync.Mutex
	runs []string
}

type fakeSettings struct {
	Steps int `json:"steps"`
}

// fake is an experiment that takes the given number of steps, saves after each, and calls hook, if any, before each.
func (f *fakes) fake(name string, steps int, hook func(ctx context.Context, j *Job, step int) error,
	needs ...string) Experiment {
	return Define(Experiment{Name: name, Title: name, Needs: needs, Protocol: Texts{Full: "counting"},
		Estimate: Durations{Full: time.Minute, Quick: time.Minute}},
		map[Profile]fakeSettings{Full: {steps}}, func(ctx context.Context, j *Job, s fakeSettings) (*Outcome, error) {
			var done int
			if _, err := j.Before(&done); err != nil {
				return nil, err
			}
			outcome := func() *Outcome {
				m := result.ExactOf(result.Labels{}, result.Paper, "steps", "steps", float64(done))
				return &Outcome{Seeds: []uint64{1}, Details: done,
					Measurements: []result.Measurement{m}}
			}
			f.mu.Lock()
			f.runs = append(f.runs, fmt.Sprintf("%s from %d", name, done))
			f.mu.Unlock()
			for ; done < s.Steps; j.Progress(done, s.Steps) {
				if hook != nil {
					if err := hook(ctx, j, done); err != nil {
						return nil, err
					}
				}
				done++
				if err := j.Save(outcome()); err != nil {
					return nil, err
				}
			}
			return outcome(), nil
		})
}

func newDriver(root string, all ...Experiment) *Driver {
	return &Driver{Profile: Quick, Root: root, Experiments: all, Jobs: 1, Environment: result.Environment{Commit: "c"}}
}

// run plans and runs, and gives what ran since the last call.
func (f *fakes) run(t *testing.T, d *Driver, names ...string) (ran string, err error) {
	t.Helper()
	return f.runContext(t.Context(), t, d, names...)
}

func (f *fakes) runContext(ctx context.Context, t *testing.T, d *Driver, names ...string) (ran string, err error) {
	t.Helper()
	f.runs = nil
	steps, err := d.Plan(names...)
	if err != nil {
		t.Fatal(err)
	}
	err = d.Run(ctx, steps)
	return strings.Join(f.runs, ", "), err
}

// states are those of a plan.
func states(t *testing.T, d *Driver) string {
	t.Helper()
	steps, err := d.Plan()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range steps {
		all = append(all, strings.TrimSpace(s.Name+" "+s.State.String()+" "+s.Reason))
	}
	return strings.Join(all, ", ")
}

// The first run makes all in the order of the needs; the second does nothing; without one result exactly that and what
// depends on it is made again.
func TestDriverMakesWhatIsMissing(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("c", 1, nil, "b"), f.fake("a", 1, nil), f.fake("b", 1, nil, "a"),
		f.fake("other", 1, nil, "a"))
	if got := states(t, d); got != "a missing, b after a, c after b, other after a" {
		t.Errorf("the plan: %s", got)
	}
	check := func(want string, names ...string) {
		t.Helper()
		if ran, err := f.run(t, d, names...); ran != want || err != nil {
			t.Errorf("ran %q (%v), want %q", ran, err, want)
		}
	}
	check("a from 0, b from 0", "b")
	check("c from 0, other from 0")
	check("")
	if err := os.Remove(filepath.Join(d.Root, "b", "b.json")); err != nil {
		t.Fatal(err)
	}
	if got := states(t, d); got != "a up to date, b missing, c after b, other up to date" {
		t.Errorf("without b: %s", got)
	}
	check("b from 0, c from 0")
	check("")
	steps, err := d.Plan()
	if err != nil || TimeLeft(steps) != 0 {
		t.Errorf("nothing takes %v (%v)", TimeLeft(steps), err)
	}
}

// What the machine cannot run is left out of a plan with a line, unless it is asked for or its result is there.
func TestDriverLeavesOut(t *testing.T) {
	var f fakes
	foreign := f.fake("foreign", 1, nil)
	foreign.Lacks = func(pythons []string) error {
		if len(pythons) == 0 {
			return errors.New("there is no Python")
		}
		return nil
	}
	d := newDriver(t.TempDir(), f.fake("a", 1, nil), foreign)
	check := func(wantSteps int, wantLines, wantError string, names []string, named bool) {
		t.Helper()
		steps, err := d.Plan(names...)
		if err != nil {
			t.Fatal(err)
		}
		rest, lines, err := d.LeaveOut(steps, names, named)
		if len(rest) != wantSteps || lines != wantLines || fmt.Sprint(err) != wantError {
			t.Errorf("%d steps, %q, %v", len(rest), lines, err)
		}
	}
	check(1, "foreign is left out: there is no Python\n", "<nil>", nil, false)
	check(0, "", "experiment foreign cannot run: there is no Python", []string{"foreign"}, false)
	check(0, "", "experiment foreign cannot run: there is no Python", nil, true)
	d.Python = []string{"python3"}
	check(2, "", "<nil>", nil, true)
	if _, err := f.run(t, d); err != nil {
		t.Fatal(err)
	}
	d.Python = nil
	check(1, "", "<nil>", []string{"foreign"}, false)
}

// A version that carries the results of an earlier one continues them, with what they cost; of older ones it begins
// anew.
func TestDriverCarriesResultsOver(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("a", 2, nil))
	if _, err := f.run(t, d); err != nil {
		t.Fatal(err)
	}
	d.Experiments[0].Version, d.Experiments[0].Carries = 3, 2
	if got := states(t, d); got != "a stale changed: protocol version 1, now 3" {
		t.Errorf("%s", got)
	}
	d.Experiments[0].Carries = 1
	if got := states(t, d); got != "a unfinished protocol version 1, now 3: what is the same is kept" {
		t.Errorf("%s", got)
	}
	if ran, err := f.run(t, d); ran != "a from 2" || err != nil || states(t, d) != "a up to date" {
		t.Errorf("ran %s, now %s: %v", ran, states(t, d), err)
	}
	d.Experiments[0] = f.fake("a", 3, nil)
	d.Experiments[0].Version, d.Experiments[0].Carries = 4, 1
	if got := states(t, d); got != "a stale changed: settings, protocol version 3, now 4" {
		t.Errorf("%s", got)
	}
}

// Other settings, another version of the protocol and a file that is gone make a result stale, and say so.
func TestDriverFindsStaleResults(t *testing.T) {
	var f fakes
	leave := func(_ context.Context, j *Job, _ int) error {
		return os.WriteFile(filepath.Join(j.Dir, "weights"), []byte("w"), 0o600)
	}
	a := f.fake("a", 1, leave)
	a.Files = []string{"weights"}
	d := newDriver(t.TempDir(), a, f.fake("b", 1, nil, "a"))
	if _, err := f.run(t, d); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		change func()
		want   string
	}{
		"settings": {func() { d.Experiments[1] = f.fake("b", 2, nil, "a") }, "a up to date, b stale changed: settings"},
		"version": {func() {
			d.Experiments[1] = f.fake("b", 1, nil, "a")
			d.Experiments[1].Version = 3
		}, "a up to date, b stale changed: protocol version 1, now 3"},
		"input": {func() {
			d.Experiments[1] = f.fake("b", 1, nil, "a")
			if err := os.WriteFile(filepath.Join(d.Root, "a", "weights"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "a stale weights is not what it left, b after a"},
		"input of an earlier program's result": {func() { // it does not say what it left
			path := filepath.Join(d.Root, "a", "a.json")
			r, err := result.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			r.Outputs = nil
			if err := result.Write(path, r); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(d.Root, "a", "weights"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "a up to date, b stale changed: a, a/weights"},
	} {
		if _, err := f.run(t, d); err != nil {
			t.Fatal(err)
		}
		c.change()
		if got := states(t, d); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
		d.Experiments[1] = f.fake("b", 1, nil, "a")
		if err := os.RemoveAll(filepath.Join(d.Root, "a")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.run(t, d); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(d.Root, "a", "weights")); err != nil {
		t.Fatal(err)
	}
	if got := states(t, d); got != "a stale weights is gone, b after a" {
		t.Errorf("without the file: %s", got)
	}
}

// A failure, even a panic, does not stop what does not need it; the error names what failed.
func TestDriverGoesOnAfterFailures(t *testing.T) {
	var f fakes
	fail := func(context.Context, *Job, int) error { return errors.New("no luck") }
	crash := func(context.Context, *Job, int) error { panic("ouch") }
	d := newDriver(t.TempDir(), f.fake("a", 1, fail), f.fake("b", 1, nil, "a"), f.fake("c", 1, nil, "b"),
		f.fake("d", 1, crash), f.fake("e", 1, nil))
	var bug *Bug
	d.Hooks.End = func(s *Step, _ time.Duration, err error) { errors.As(err, &bug) }
	d.Hooks.Line = func(_ *Step, line string) { t.Errorf("the user reads %q", line) }
	ran, err := f.run(t, d)
	if bug == nil || !strings.Contains(string(bug.Stack), "driver_test.go") ||
		bug.Error() != "internal error: ouch; this is a bug, please report it" {
		t.Errorf("the panic became %v", bug)
	}
	var failed *Failed
	if !errors.As(err, &failed) || strings.Join(failed.Names, " ") != "a b c d" || failed.Of != 5 ||
		!strings.Contains(err.Error(), "4 of 5 experiments failed: a, b, c, d; the first error: no luck") {
		t.Errorf("%v", err)
	}
	if ran != "a from 0, d from 0, e from 0" || !strings.HasSuffix(states(t, d), "e up to date") {
		t.Errorf("ran %s, now %s", ran, states(t, d))
	}
}

// Ctrl-C: what was saved is there, and the next run continues; the cost is that of both.
func TestDriverContinues(t *testing.T) {
	var f fakes
	ctx, cancel := context.WithCancel(t.Context())
	stop := func(ctx context.Context, _ *Job, step int) error {
		if step == 2 {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	root := t.TempDir()
	d := newDriver(root, f.fake("a", 4, stop), f.fake("b", 1, nil))
	if ran, err := f.runContext(ctx, t, d); ran != "a from 0" || !errors.Is(err, context.Canceled) ||
		!strings.Contains(err.Error(), "saved is in "+root) {
		t.Errorf("ran %s: %v", ran, err)
	}
	if got := states(t, d); got != "a unfinished, b missing" {
		t.Errorf("after Ctrl-C: %s", got)
	}
	first, err := result.Read(d.Path(d.Experiments[0]))
	if err != nil {
		t.Fatal(err)
	}
	d.Experiments[0] = f.fake("a", 4, nil)
	if ran, err := f.run(t, d); ran != "a from 2, b from 0" || err != nil {
		t.Errorf("ran %s: %v", ran, err)
	}
	r, err := result.Read(d.Path(d.Experiments[0]))
	if err != nil || !r.Complete || r.Measurements[0].Mean != 4 || r.Cost.WallSeconds <= first.Cost.WallSeconds {
		t.Errorf("%+v %v", r, err)
	}
}

// A file that is no result stays as it is, and its line says the mend; nothing that needs it runs.
func TestDriverKeepsUnreadableFiles(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("a", 1, nil), f.fake("b", 1, nil, "a"), f.fake("c", 1, nil))
	path := filepath.Join(d.Root, "a", "a.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(`{"schema": 1`), 0o600); err != nil {
		t.Fatal(err)
	}
	ran, err := f.run(t, d)
	if ran != "c from 0" || err == nil || !strings.Contains(err.Error(), path+" is not a valid result: it is not JSON") ||
		!strings.Contains(err.Error(), "move it away, or delete it") {
		t.Errorf("ran %s: %v", ran, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != `{"schema": 1` {
		t.Errorf("the file is %s (%v)", text, err)
	}
}

// What a stopped run left in its work folder is there for the run that continues it, not for one of other inputs, and
// is gone when all is done.
func TestDriverWorkFolders(t *testing.T) {
	var f fakes
	fail := true
	found := ""
	d := newDriver(t.TempDir(), f.fake("a", 1, nil), f.fake("b", 2, func(_ context.Context, j *Job, step int) error {
		dir, err := j.Work()
		if err != nil {
			return err
		}
		checkpoint := filepath.Join(dir, "checkpoint")
		text, _ := os.ReadFile(checkpoint)
		found = string(text)
		if err := os.WriteFile(checkpoint, []byte(fmt.Sprint("step ", step)), 0o600); err != nil {
			return err
		}
		if fail && step == 1 {
			return errors.New("the power is cut")
		}
		return nil
	}, "a"))
	run := func(want string, done bool) {
		t.Helper()
		if _, err := f.run(t, d); done != (err == nil) {
			t.Fatal(err)
		}
		if found != want {
			t.Errorf("it found %q, want %q", found, want)
		}
		if _, err := os.Stat(WorkFolder(d.Path(d.Experiments[1]))); done != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the work folder after a run (done %t): %v", done, err)
		}
	}
	run("step 0", false)
	run("step 1", false)
	if err := os.Remove(d.Path(d.Experiments[0])); err != nil {
		t.Fatal(err)
	}
	d.Environment.Commit = "another" // a's result, an input of b, is a new one
	run("step 0", false)
	fail = false
	run("step 1", true)
}

// What cannot be read blocks its own experiment, not the plan.
func TestDriverOddFiles(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("a", 1, nil), f.fake("b", 1, nil), f.fake("c", 1, nil))
	for name, odd := range map[string]func(path string) error{
		"b": func(path string) error { return os.MkdirAll(path, 0o755) },
		"c": func(path string) error {
			return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(filepath.Base(path), path))
		},
	} {
		if err := odd(filepath.Join(d.Root, name, name+".json")); err != nil {
			t.Fatal(err)
		}
	}
	got := states(t, d)
	for _, want := range []string{"a missing", "b.json is not a valid result: it is a folder, not a file; move it away",
		"c.json is not a valid result: too many levels"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Root = file
	if _, err := d.Plan(); err == nil || err.Error() != file+" is a file: give a folder for the results" {
		t.Errorf("a file as the results folder: %v", err)
	}
}

// Two processes do not run experiments in one folder, not even different ones: they would disturb each other's times.
// What a killed one left half-written goes; what only looks like it is the user's, and stays.
func TestDriverHoldsItsFolder(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("a", 1, nil))
	release, held, err := files.Lock(filepath.Join(d.Root, ".experiments.lock"))
	if err != nil || !held {
		t.Fatal(held, err)
	}
	if ran, err := f.run(t, d); ran != "" || err == nil ||
		!strings.Contains(err.Error(), "another process runs experiments in "+d.Root) {
		t.Errorf("ran %q: %v", ran, err)
	}
	release()
	left, root := filepath.Join(d.Root, "a", ".synapnet-model.safetensors-0123456789abcdef.tmp"),
		filepath.Join(d.Root, ".synapnet-report.html-fedcba9876543210.tmp")
	users := []string{filepath.Join(d.Root, "a", ".model.safetensors123456789"), filepath.Join(d.Root, ".backup20260101"),
		filepath.Join(d.Root, ".synapnet-report.html.tmp")}
	if err := os.MkdirAll(filepath.Dir(left), 0o755); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	for _, path := range append([]string{left, root}, users...) {
		if err := errors.Join(os.WriteFile(path, []byte("half"), 0o600), os.Chtimes(path, past, past)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.run(t, d); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{left, root} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what a killed run left is there: %v", err)
		}
	}
	for _, path := range users {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("a file of the user's is gone: %v", err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(d.Root, "*", ".*.lock")); err != nil || len(left) > 0 {
		t.Errorf("locks are left: %v (%v)", left, err)
	}
}

// A table of times does not continue on another machine; any other does.
func TestDriverOneMachine(t *testing.T) {
	var f fakes
	stop := func(_ context.Context, _ *Job, step int) error {
		if step == 1 {
			return errors.New("the power is cut")
		}
		return nil
	}
	timed := f.fake("timed", 2, stop)
	timed.OneMachine = true
	d := newDriver(t.TempDir(), timed, f.fake("counted", 2, stop))
	d.Environment.Host, d.Environment.Threads = "here", 2
	if ran, err := f.run(t, d); err == nil || ran != "timed from 0, counted from 0" {
		t.Fatalf("%s: %v", ran, err)
	}
	if got := states(t, d); got != "timed unfinished, counted unfinished" {
		t.Errorf("on the same machine: %s", got)
	}
	d.Environment.Threads = 1
	if got := states(t, d); !strings.HasPrefix(got, "timed stale begun on here") ||
		!strings.HasSuffix(got, "1 threads), counted unfinished") {
		t.Errorf("with other threads: %s", got)
	}
	if ran, err := f.run(t, d); err == nil || ran != "timed from 0, counted from 1" {
		t.Errorf("%s: %v", ran, err)
	}
}

// A result of another profile is not overwritten: it may have taken hours.
func TestDriverKeepsOtherProfiles(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("a", 1, nil))
	if _, err := f.run(t, d); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.Root, "a", "a.json")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d.Profile = Full
	if ran, err := f.run(t, d); ran != "" || err == nil ||
		!strings.Contains(err.Error(), path+" is a result of a, profile quick, not full: move it away") {
		t.Errorf("ran %q: %v", ran, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
}

// Two processes do not run one experiment at the same time.
func TestDriverLocks(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("a", 1, nil))
	if err := os.MkdirAll(filepath.Join(d.Root, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(filepath.Join(d.Root, "a", ".a.lock"))
	if held, err := lock.TryLock(); !held || err != nil {
		t.Fatal(held, err)
	}
	if ran, err := f.run(t, d); ran != "" || err == nil ||
		!strings.Contains(err.Error(), "another process is running it") {
		t.Errorf("ran %s: %v", ran, err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if ran, err := f.run(t, d); ran != "a from 0" || err != nil {
		t.Errorf("ran %s: %v", ran, err)
	}
}

// With two jobs two run at once; one that measures time runs alone.
func TestDriverJobs(t *testing.T) {
	var f fakes
	both := make(chan bool)
	meet := func(mine bool) func(context.Context, *Job, int) error { // returns when the other one has come
		return func(ctx context.Context, _ *Job, _ int) error {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			if mine {
				select {
				case both <- true:
				case <-ctx.Done():
				}
			} else {
				select {
				case <-both:
				case <-ctx.Done():
				}
			}
			return ctx.Err()
		}
	}
	running := map[string]bool{}
	all := []Experiment{f.fake("a", 1, meet(true)), f.fake("b", 1, meet(false)), f.fake("alone", 1, nil),
		f.fake("c", 1, nil), f.fake("d", 1, nil)}
	all[2].Alone = true
	d := newDriver(t.TempDir(), all...)
	d.Jobs = 2
	d.Hooks.Begin = func(s *Step, _, _ int) {
		running[s.Name] = true
		if running["alone"] && len(running) > 1 {
			t.Errorf("with it run %v", running)
		}
	}
	d.Hooks.End = func(s *Step, _ time.Duration, _ error) { delete(running, s.Name) }
	if _, err := f.run(t, d); err != nil {
		t.Error(err)
	}
}

// The time left for the whole counts what waits, and in its first moments what runs, by the estimate: what is done at
// once was done by an earlier run.
func TestTimeLeft(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("a", 2,
		func(context.Context, *Job, int) error { time.Sleep(time.Millisecond); return nil }), f.fake("b", 1, nil))
	var left []time.Duration
	d.Hooks.Progress = func(_ *Step, _, _ int, l time.Duration) { left = append(left, l) }
	if _, err := f.run(t, d); err != nil {
		t.Fatal(err)
	}
	if len(left) != 3 || left[0] < 89*time.Second || left[0] > 90*time.Second || left[2] != 0 {
		t.Errorf("left %v", left)
	}
}

// After its first moments a step counts at its own pace, that of what it did itself.
func TestTimeLeftOfAStepThatContinues(t *testing.T) {
	now := time.Now()
	r := &driverRun{pace: 1, running: map[string]*progressOf{
		"a": {step: &Step{Time: time.Hour}, start: now.Add(-12 * time.Second), share: 0.6, before: 0.5,
			since: now.Add(-10 * time.Second)},
	}}
	if left := r.left(); left < 40*time.Second || left > 41*time.Second {
		t.Errorf("a tenth took 10 s, four tenths are left: %v", left)
	}
}

// What a step prepares has no share of it: until it shows a pace, its estimate counts.
func TestTimeLeftOfAStepThatPrepares(t *testing.T) {
	if left := leftAfter(4*time.Minute, 0.0001); left < 55*time.Minute || left > 56*time.Minute {
		t.Errorf("of an hour, 4 minutes are over: %v left", left)
	}
}

// leftAfter is the time left of a step estimated at an hour that told of its first share only now.
func leftAfter(since time.Duration, share float64) time.Duration {
	p := begin(&Step{Time: time.Hour}, time.Now().Add(-since))
	p.share = share
	return (&driverRun{pace: 1, running: map[string]*progressOf{"a": p}}).left()
}

// A step that first tells of progress after its first moments, having had to load much, counts from its start.
func TestTimeLeftOfAStepThatBeganSlowly(t *testing.T) {
	if left := leftAfter(10*time.Second, 0.5); left < 10*time.Second || left > 11*time.Second {
		t.Errorf("half took 10 s: %v left", left)
	}
}

// killed makes the test binary a run of a driver that is killed by itself.
const killed = "EXPERIMENTS_TEST_KILLED"

// Kill -9 in the middle: no file is half written, and the next run continues.
func TestDriverSurvivesAKill(t *testing.T) {
	var f fakes
	if root := os.Getenv(killed); root != "" {
		die := func(_ context.Context, _ *Job, step int) error {
			if step == 3 {
				p, err := os.FindProcess(os.Getpid())
				if err == nil {
					err = p.Kill()
				}
				return err
			}
			return nil
		}
		_, err := f.run(t, newDriver(root, f.fake("a", 5, die)))
		t.Fatalf("still alive: %v", err)
	}
	root := t.TempDir()
	command := exec.Command(os.Args[0], "-test.run", "^TestDriverSurvivesAKill$")
	command.Env = append(os.Environ(), killed+"="+root)
	if out, err := command.CombinedOutput(); err == nil || strings.Contains(string(out), "still alive") {
		t.Fatalf("%v %s", err, out)
	}
	if ran, err := f.run(t, newDriver(root, f.fake("a", 5, nil))); ran != "a from 3" || err != nil {
		t.Errorf("ran %s: %v", ran, err)
	}
}

// The full profile does not train the reference model by surprise: it says the command.
func TestDriverWantsTheReferenceModel(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("pretrain", 1, nil), f.fake("a", 1, nil, "pretrain"))
	d.Profile = Full
	_, err := d.Plan("a")
	if err == nil || !strings.Contains(err.Error(), "there is no pretrained model "+
		filepath.Join(d.Root, "pretrain", ModelFile)+": make it with 'synapnet-train experiments run pretrain --results "+
		d.Root+"' (about 1m0s)") {
		t.Errorf("%v", err)
	}
	for _, names := range [][]string{nil, {"pretrain"}, {"pretrain", "a"}} {
		if _, err := d.Plan(names...); err != nil {
			t.Errorf("%v: %v", names, err)
		}
	}
	d.Profile = Quick
	if _, err := d.Plan("a"); err != nil {
		t.Error(err)
	}
}

// Needs that make no order are refused.
func TestOrder(t *testing.T) {
	var f fakes
	for want, all := range map[string][]Experiment{
		"needs itself":      {f.fake("a", 1, nil, "b"), f.fake("b", 1, nil, "a")},
		"is not registered": {f.fake("a", 1, nil, "b")},
		"twice":             {f.fake("a", 1, nil), f.fake("a", 1, nil)},
		"define":            {{Name: "a"}},
	} {
		if _, err := order(all); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A setting that is added later with its zero value changes no key; another value does.
func TestKeys(t *testing.T) {
	e := Experiment{Name: "a", Version: 1}
	key := func(config string) string {
		t.Helper()
		k, err := keyOf(e, "full", []byte(config), map[string]string{"x": "1", "y": "2"})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	base := key(`{"a": 1, "b": {"c": 2}}`)
	for config, same := range map[string]bool{
		`{"b": {"c": 2, "new": 0, "also": ""}, "a": 1, "more": {"x": false}, "none": null}`: true,
		`{"a": 1, "b": {"c": 2}, "new": 1}`:                                                 false,
		`{"a": 2, "b": {"c": 2}}`:                                                           false,
		`{"a": 1, "b": {"c": 2}, "list": [0]}`:                                              false,
	} {
		if (key(config) == base) != same {
			t.Errorf("%s: the same key is %v", config, !same)
		}
	}
}

// The profile strong has the experiments that say so, in full's settings and time; its results are of that profile, and
// have no published figures beside them.
func TestDriverRunsStrong(t *testing.T) {
	var f fakes
	base, other := f.fake("base", 2, nil), f.fake("other", 1, nil)
	base.Profiles = []Profile{Full, Quick, Strong}
	base.Published = []Published{{File: "eval_history.json", At: map[string]string{"steps": "#"}}}
	if !base.In(Strong) || other.In(Strong) || !other.In(Full) || !other.In(Quick) {
		t.Error("an experiment is in another profile than it says")
	}
	for p, want := range map[Profile]bool{Full: true, Strong: false} {
		d := newDriver(t.TempDir(), base)
		d.Profile = p
		steps, err := d.Plan()
		if err != nil || TimeLeft(steps) != time.Minute {
			t.Errorf("%s: %v (%v)", p, TimeLeft(steps), err)
		}
		if ran, err := f.run(t, d); ran != "base from 0" || err != nil {
			t.Errorf("ran %q (%v)", ran, err)
		}
		r, err := result.Read(d.Path(base))
		if err != nil || r.Profile != string(p) || !r.Complete || (r.Measurements[0].Published != nil) != want {
			t.Errorf("%s: %+v (%v)", p, r, err)
		}
	}
}

// Of a profile whose model takes long to train, nobody trains it who asked for something else.
func TestStrongModelIsNotMadeUnasked(t *testing.T) {
	var f fakes
	d := newDriver(t.TempDir(), f.fake("pretrain", 1, nil), f.fake("grid", 1, nil, "pretrain"))
	d.Profile = Strong
	if _, err := d.Plan("grid"); err == nil || !strings.Contains(err.Error(),
		"experiments run pretrain --results "+d.Root+" --profile strong'") {
		t.Errorf("%v", err)
	}
}
