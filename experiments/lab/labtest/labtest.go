// Package labtest helps to test experiments: jobs that keep their result in a folder of the test's, small models for
// them to read, and what is true of every outcome. A test binary that imports it serves measurements in processes of
// their own.
package labtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// init lets an experiment run the test binary again as if it were the program: see measure.InOwnProcess.
func init() {
	if len(os.Args) == 2 && os.Args[1] == measure.ProbeCommand {
		if err := measure.Serve(context.Background(), measure.PassKinds(), os.Stdin, os.Stdout); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// NewJob is a run of an experiment in a folder of its own, which reads what others left in root.
func NewJob(t *testing.T, e lab.Experiment, root string) *lab.Job {
	t.Helper()
	return openJob(t, e, root, filepath.Join(t.TempDir(), "result.json"))
}

// openJob is a run that keeps its result at path, or continues the one that is there.
func openJob(t *testing.T, e lab.Experiment, root, path string) *lab.Job {
	t.Helper()
	j, _, err := lab.Standalone(e, e.Settings(lab.Quick), nil, path, result.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	j.Root, j.Line = root, t.Logf
	j.Progress = func(done, total int) {
		if done > total {
			t.Errorf("%d of %d cells are done", done, total)
		}
	}
	return j
}

// Put copies a file into the folder of an experiment in root, as its run would have left it.
func Put(t *testing.T, root, experiment, name, from string) {
	t.Helper()
	dir := filepath.Join(root, experiment)
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

// Find is the one measurement with these labels, protocol and metric.
func Find(t *testing.T, o *lab.Outcome, protocol, metric string, l result.Labels) result.Measurement {
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

// CheckOutcome holds what is true of every outcome: measurements are numbers, each named once, and every view shows
// some.
func CheckOutcome(t *testing.T, e lab.Experiment, o *lab.Outcome) {
	t.Helper()
	if len(o.Seeds) == 0 || e.Protocol.Of(lab.Full) == "" || len(o.Measurements) == 0 {
		t.Fatalf("%d seeds, protocol %q, %d measurements", len(o.Seeds), e.Protocol, len(o.Measurements))
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
		if m.Protocol != result.Paper && m.Protocol != result.Strict || m.Metric == "" || m.Unit == "" || m.N < 1 ||
			math.IsNaN(m.Mean) || math.IsInf(m.Mean, 0) {
			t.Errorf("%s: %+v", key, m)
		}
		if i := m.Interval; i != nil && (i.Low > m.Mean+1e-9 || i.High < m.Mean-1e-9) {
			t.Errorf("%s: mean %g outside of %+v", key, m.Mean, *i)
		}
	}
	for _, v := range e.Views {
		if !slices.ContainsFunc(o.Measurements, func(m result.Measurement) bool { return shows(v, m) }) {
			t.Errorf("view %q shows nothing", v.Title)
		}
	}
}

// shows says whether a measurement is in the table of a view.
func shows(v lab.View, m result.Measurement) bool {
	labels := v.Rows
	if v.Column != "" {
		labels = append(slices.Clone(labels), v.Column)
	}
	return (v.Metric == "" || m.Metric == v.Metric) && len(m.Labels) == len(labels) &&
		!slices.ContainsFunc(labels, func(l string) bool { return m.Labels[l] == "" })
}

// CheckRuns runs an experiment, stops it after its first save and continues, and wants the same as of a run that was
// not stopped. equal compares what is not a time.
func CheckRuns(t *testing.T, e lab.Experiment, root string,
	run func(ctx context.Context, j *lab.Job) (*lab.Outcome, error), equal func(m result.Measurement) bool) *lab.Outcome {
	t.Helper()
	whole, err := run(t.Context(), NewJob(t, e, root))
	if err != nil {
		t.Fatal(err)
	}
	CheckOutcome(t, e, whole)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path := filepath.Join(t.TempDir(), "result.json")
	j := openJob(t, e, root, path)
	j.Progress = func(done, _ int) {
		if done > 0 {
			cancel()
		}
	}
	if _, err := run(ctx, j); !errors.Is(err, context.Canceled) {
		t.Fatalf("a stopped run gave %v", err)
	}
	if _, err := result.Read(path); err != nil {
		t.Fatalf("a stopped run saved nothing: %v", err)
	}
	rest, err := run(t.Context(), openJob(t, e, root, path))
	if err != nil {
		t.Fatal(err)
	}
	if len(rest.Measurements) != len(whole.Measurements) {
		t.Fatalf("%d measurements, want %d", len(rest.Measurements), len(whole.Measurements))
	}
	for i, m := range whole.Measurements {
		if equal(m) && !reflect.DeepEqual(m, rest.Measurements[i]) {
			t.Errorf("after a stop %+v, without %+v", rest.Measurements[i], m)
		}
	}
	return whole
}

// Always is an equal of CheckRuns: nothing is a time.
func Always(result.Measurement) bool { return true }

// StreamModel is a small model that takes memory-pressure samples; its reads depend on its memory.
func StreamModel(t *testing.T) (m *layers.Model, path string) {
	t.Helper()
	c := layers.Reference()
	c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses, c.EpisodicSlots, c.EpisodicWriteFrac = 8, 2, 2, 128, 64,
		40, 4, 0.2
	m, err := layers.NewModel(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params.All() {
		for i := range p.Data() {
			if strings.Contains(p.Name, "epmem") || strings.Contains(p.Name, "head") {
				p.Data()[i] *= 15
			}
		}
	}
	path = filepath.Join(t.TempDir(), "model.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	return m, path
}

// NetworkFiles are untrained networks for it.
func NetworkFiles(t *testing.T, seed uint64) (classifier, head string) {
	t.Helper()
	dir := t.TempDir()
	classifier, head = filepath.Join(dir, lab.ClassifierFile), filepath.Join(dir, lab.HeadFile)
	for path, make := range map[string]func(int, int, uint64) (*baee.Classifier, error){classifier: baee.NewClassifier,
		head: baee.NewHead} {
		n, err := make(8, 4, seed)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	return classifier, head
}

// StreamRoot is a results folder with the model of StreamModel and its networks.
func StreamRoot(t *testing.T) (root string, m *layers.Model) {
	t.Helper()
	root = t.TempDir()
	m, model := StreamModel(t)
	classifier, head := NetworkFiles(t, 1)
	Put(t, root, "pretrain", lab.ModelFile, model)
	Put(t, root, "baee-train", lab.ClassifierFile, classifier)
	Put(t, root, "baee-train", lab.HeadFile, head)
	return root, m
}

// SuiteRoot is a results folder with a small model that takes all tasks.
func SuiteRoot(t *testing.T) string {
	t.Helper()
	c := layers.Reference()
	c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses, c.EpisodicSlots = 8, 2, 2, 128, 128, 32, 4
	m, err := layers.NewModel(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), lab.ModelFile)
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	Put(t, root, "pretrain", lab.ModelFile, path)
	return root
}
