package lab

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/graph"
)

type drawingSettings struct {
	Steps      int        `json:"steps"`
	SampleKeys tasks.Keys `json:"sample_keys,omitempty"`
}

// drawing is an experiment that draws samples: it measures the version of their keys.
func drawing(used *[]tasks.Keys, stop *bool) Experiment {
	return Define(Experiment{Name: "drawing"}, map[Profile]drawingSettings{Full: {Steps: 1}},
		func(_ context.Context, j *Job, s drawingSettings) (*Outcome, error) {
			*used = append(*used, s.SampleKeys)
			m := result.ExactOf(result.Labels{}, result.Paper, "keys", "1", float64(s.SampleKeys))
			o := &Outcome{Details: 1, Measurements: []result.Measurement{m}}
			if *stop {
				if err := j.Save(o); err != nil {
					return nil, err
				}
				return nil, context.Canceled
			}
			return o, nil
		})
}

// Results that were measured, or begun, with old keys of samples keep them; what begins, or is measured anew, has the
// new.
func TestResultsKeepTheirSampleKeys(t *testing.T) {
	var used []tasks.Keys
	stop := false
	d := newDriver(t.TempDir(), drawing(&used, &stop))
	path := d.Path(d.Experiments[0])
	plan := func() *Step {
		t.Helper()
		steps, err := d.Plan()
		if err != nil {
			t.Fatal(err)
		}
		return steps[0]
	}
	run := func() {
		t.Helper()
		if err := d.Run(t.Context(), []*Step{plan()}); err != nil && !stop {
			t.Fatal(err)
		}
	}
	// age makes the result one of a program without versions of keys.
	age := func(steps int) {
		t.Helper()
		r, err := result.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		r.Config, err = json.Marshal(map[string]int{"steps": steps})
		if err != nil {
			t.Fatal(err)
		}
		if r.Key, err = keyOf(d.Experiments[0], r.Profile, r.Config, nil); err != nil {
			t.Fatal(err)
		}
		if err := result.Write(path, r); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if s := plan(); s.State != UpToDate || s.OldSamples(d.Profile) || !slices.Equal(used, []tasks.Keys{2}) {
		t.Errorf("a new result: %v, keys %v", s.State, used)
	}
	age(1)
	if s := plan(); s.State != UpToDate || !s.OldSamples(d.Profile) || s.Keys != tasks.Keys1 {
		t.Errorf("an old result: %v (%s), keys %d", s.State, s.Reason, s.Keys)
	}
	age(2) // of other settings: stale
	if s := plan(); s.State != Stale || s.Keys != tasks.Keys2 || s.Reason != "changed: settings" {
		t.Errorf("an old result of other settings: %v (%s), keys %d", s.State, s.Reason, s.Keys)
	}
	age(1)
	d.Experiments[0].Version++
	if s := plan(); s.State != Stale ||
		!strings.HasSuffix(s.Reason, "; measured anew, on samples of keys 2 in place of 1") {
		t.Errorf("an old result of an old version: %v (%s)", s.State, s.Reason)
	}
	used = nil
	run()
	if r, err := result.Read(path); err != nil || keysOf(r.Config) != 2 || !slices.Equal(used, []tasks.Keys{2}) {
		t.Errorf("measured anew with %v: %v", used, err)
	}
	// Interrupted with the old keys, continued with the old keys.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	stop = true
	run()
	age(1)
	if s := plan(); s.State != Unfinished || s.Keys != tasks.Keys1 {
		t.Errorf("begun with old keys: %v, keys %d", s.State, s.Keys)
	}
	stop, used = false, nil
	run()
	if r, err := result.Read(path); err != nil || !r.Complete || keysOf(r.Config) != 1 ||
		!slices.Equal(used, []tasks.Keys{1}) {
		t.Errorf("continued with %v: %v", used, err)
	}
	// Killed before it had a result: the folder of its working files says what it began with.
	old := plan().Result.Key
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(WorkFolder(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(WorkFolder(path), "key"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := plan(); s.State != Missing || s.Keys != tasks.Keys1 {
		t.Errorf("killed with old keys: %v, keys %d", s.State, s.Keys)
	}
}

// What is continued on other kernels says so, and the result names both.
func TestContinuedOnOtherKernels(t *testing.T) {
	env := result.Environment{Commit: "c", Platform: "linux/amd64", SIMD: "avx2", BLAS: "OpenBLAS 1 Haswell (cgo)",
		Go: "go1"}
	other := env
	other.SIMD = "avx512"
	var used []tasks.Keys
	stop := true
	d := newDriver(t.TempDir(), drawing(&used, &stop))
	d.Environment = env
	var lines []string
	d.Hooks.Line = func(_ *Step, line string) { lines = append(lines, line) }
	run := func() {
		t.Helper()
		steps, err := d.Plan()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Run(t.Context(), steps); err != nil && !stop {
			t.Fatal(err)
		}
	}
	run()
	run()
	if len(lines) > 0 {
		t.Errorf("on the same kernels: %q", lines)
	}
	d.Environment, stop = other, false
	run()
	if len(lines) != 1 || !strings.Contains(lines[0],
		"was begun on other kernels (SIMD avx2, OpenBLAS 1 Haswell (cgo), amd64, go1; these are SIMD avx512, ") {
		t.Errorf("%q", lines)
	}
	r, err := result.Read(d.Path(d.Experiments[0]))
	if want := []graph.Kernels{kernelsOf(env), kernelsOf(other)}; err != nil || !slices.Equal(r.Kernels, want) {
		t.Errorf("%+v %v, want %+v", r.Kernels, err, want)
	}
}

func TestThinKeepsTheLast(t *testing.T) {
	for _, n := range []int{0, 1, 10, mostKept, mostKept + 1, 3*mostKept - 1, 2_000_000} {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		kept := Thin(all)
		if len(kept) > mostKept || n <= mostKept && len(kept) != n || n > 0 && kept[len(kept)-1] != n-1 || n > mostKept &&
			len(kept) < mostKept/2 {
			t.Errorf("%d of %d are kept, the last %v", len(kept), n, kept[max(0, len(kept)-1):])
		}
	}
}
