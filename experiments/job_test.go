package experiments

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/result"
)

// testJob runs an experiment in a results folder of its own and keeps what it saves.
type testJob struct {
	Job
	saves []*Outcome
	stop  func() // called after the first save
}

func newTestJob(t *testing.T, root string) *testJob {
	t.Helper()
	dir := t.TempDir()
	j := &testJob{Job: Job{Profile: Quick, Root: root, Dir: dir, path: filepath.Join(dir, "result.json"), file: &resultFile{}, Line: t.Logf, Progress: func(done, total int) {
		if done > total {
			t.Errorf("%d of %d cells are done", done, total)
		}
	}}}
	j.save = func(o *Outcome) error {
		j.saves = append(j.saves, o)
		text, err := json.Marshal(o.Details)
		if err != nil {
			return err
		}
		j.before = &result.Result{Details: text}
		if j.stop != nil {
			j.stop()
			j.stop = nil
		}
		return nil
	}
	return j
}

// put copies a file into the folder of an experiment.
func put(t *testing.T, root, experiment, name, from string) {
	t.Helper()
	dir := filepath.Join(root, folderOf(experiment))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// find is the one measurement with these labels, protocol and metric.
func find(t *testing.T, o *Outcome, protocol, metric string, l labels) result.Measurement {
	t.Helper()
	var found []result.Measurement
	for _, m := range o.Measurements {
		if m.Protocol == protocol && m.Metric == metric && reflect.DeepEqual(m.Labels, l) {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d measurements of %s %s %v, want 1", len(found), protocol, metric, l)
	}
	return found[0]
}

// checkOutcome holds what is true of every outcome: measurements are numbers, each named once, and every view shows some.
func checkOutcome(t *testing.T, e Experiment, o *Outcome) {
	t.Helper()
	if len(o.Seeds) == 0 || o.Protocol == "" || len(o.Measurements) == 0 {
		t.Fatalf("%d seeds, protocol %q, %d measurements", len(o.Seeds), o.Protocol, len(o.Measurements))
	}
	seen := map[string]bool{}
	for _, m := range o.Measurements {
		text, err := json.Marshal(m.Labels)
		if err != nil {
			t.Fatal(err)
		}
		key := m.Protocol + " " + m.Metric + " " + string(text)
		if seen[key] {
			t.Errorf("%s is there twice", key)
		}
		seen[key] = true
		if m.Protocol != result.Paper && m.Protocol != result.Strict || m.Metric == "" || m.Unit == "" || m.N < 1 || math.IsNaN(m.Mean) || math.IsInf(m.Mean, 0) {
			t.Errorf("%s: %+v", key, m)
		}
		if i := m.Interval; i != nil && (i.Low > m.Mean+1e-9 || i.High < m.Mean-1e-9) {
			t.Errorf("%s: mean %g outside of %+v", key, m.Mean, *i)
		}
	}
	for _, v := range e.Views {
		rows := 0
		for _, m := range o.Measurements {
			has := v.Metric == "" || m.Metric == v.Metric
			for _, l := range v.Rows {
				has = has && m.Labels[l] != ""
			}
			want := len(v.Rows) + 1
			if v.Column == "" {
				want--
			}
			if has && len(m.Labels) == want && (v.Column == "" || m.Labels[v.Column] != "") {
				rows++
			}
		}
		if rows == 0 {
			t.Errorf("view %q shows nothing", v.Title)
		}
	}
}

// checkRuns runs an experiment, stops it after its first save and continues, and wants the same as of a run that was not
// stopped. equal compares what is not a time.
func checkRuns(t *testing.T, e Experiment, root string, run func(ctx context.Context, j *Job) (*Outcome, error), equal func(m result.Measurement) bool) *Outcome {
	t.Helper()
	whole, err := run(t.Context(), &newTestJob(t, root).Job)
	if err != nil {
		t.Fatal(err)
	}
	checkOutcome(t, e, whole)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	j := newTestJob(t, root)
	j.stop = cancel
	if _, err := run(ctx, &j.Job); !errors.Is(err, context.Canceled) {
		t.Fatalf("a stopped run gave %v", err)
	}
	saved := len(j.saves)
	rest, err := run(t.Context(), &j.Job)
	if err != nil {
		t.Fatal(err)
	}
	if saved == 0 || len(rest.Measurements) != len(whole.Measurements) {
		t.Fatalf("%d saves, then %d measurements, want %d", saved, len(rest.Measurements), len(whole.Measurements))
	}
	for i, m := range whole.Measurements {
		if equal(m) && !reflect.DeepEqual(m, rest.Measurements[i]) {
			t.Errorf("after a stop %+v, without %+v", rest.Measurements[i], m)
		}
	}
	return whole
}

func always(result.Measurement) bool { return true }
