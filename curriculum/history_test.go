package curriculum

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// rewritten is a checkpoint with another position, in a folder of its own with the history of the first.
func rewritten(t *testing.T, path string, change func(p map[string]any)) string {
	t.Helper()
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var p map[string]any
	if err := json.Unmarshal([]byte(f.Metadata[train.Key]), &p); err != nil {
		t.Fatal(err)
	}
	change(p)
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	f.Metadata[train.Key] = string(text)
	other := filepath.Join(t.TempDir(), "checkpoint.safetensors")
	if err := safetensors.Write(other, f); err != nil {
		t.Fatal(err)
	}
	put(t, metrics.Beside(other), contents(t, metrics.Beside(path)))
	return other
}

// Its size does not depend on how long the run was, which a header of 100 MB could not hold after some 600,000 steps.
func TestCheckpointsDoNotGrow(t *testing.T) {
	size := func(steps int) int64 {
		r := begin(t, tiny())
		for i := range steps {
			r.History.Steps = append(r.History.Steps, Step{Step: i + 1, Loss: 1 / float64(i+1)})
		}
		if err := r.Resume(r.CheckpointPath, train.Position{Done: steps}); err != nil {
			t.Fatal(err)
		}
		if err := r.Save(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(r.CheckpointPath)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(contents(t, metrics.Beside(r.CheckpointPath)), "\n"); lines != steps {
			t.Errorf("%d lines of %d steps", lines, steps)
		}
		return info.Size()
	}
	// Numbers have some more digits; the header is padded to 8 bytes.
	if few, many := size(10), size(20_000); many-few > 32 {
		t.Errorf("a checkpoint of 10 steps has %d bytes, of 20,000 %d", few, many)
	}
}

// A checkpoint of before there was a file of the history is continued, and gets one that holds all of it.
func TestOldCheckpointsContinue(t *testing.T) {
	c := tiny()
	c.SampleKeys = 0 // as its configuration has none
	whole := begin(t, c)
	want := finished(t, whole)
	r := begin(t, c)
	r.Hooks.Saved = func(step int) error {
		if step == 9 {
			return os.ErrDeadlineExceeded
		}
		return nil
	}
	if err := r.Run(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	old := rewritten(t, r.CheckpointPath, func(p map[string]any) {
		delete(p, "metrics")
		delete(p, "epochs")
		p["history"] = r.History
	})
	for what, beside := range map[string]string{"nothing": "",
		"what a killed run left": contents(t, metrics.Beside(r.CheckpointPath))} {
		put(t, metrics.Beside(old), beside)
		again := resumed(t, old)
		if again.Done() != 9 || !reflect.DeepEqual(again.History.Evaluations, r.History.Evaluations) {
			t.Fatalf("%s beside it: resumed at step %d", what, again.Done())
		}
		if got := finished(t, again); got != want {
			t.Errorf("%s beside it: another end", what)
		}
		old = rewritten(t, r.CheckpointPath, func(p map[string]any) {
			delete(p, "metrics")
			delete(p, "epochs")
			p["history"] = r.History
		})
	}
}

// A run whose history is gone goes on, and says so; one whose history was changed is not continued over it.
func TestHistoriesThatAreGoneOrChanged(t *testing.T) {
	whole := begin(t, tiny())
	finished(t, whole)
	r := halfway(t)
	file := metrics.Beside(r.CheckpointPath)
	history := contents(t, file)
	for name, text := range map[string]string{"cut": history[:len(history)-9],
		"changed": strings.Replace(history, `"step":2`, `"step":3`, 1), "empty": ""} {
		put(t, file, text)
		if _, err := Resume(r.CheckpointPath); err == nil ||
			!strings.HasPrefix(err.Error(), file+" is not the history that the checkpoint goes with") {
			t.Errorf("%s: %v", name, err)
		}
		if contents(t, file) != text {
			t.Errorf("%s: the file was touched", name)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	again := resumed(t, r.CheckpointPath)
	if want := []string{file +
		" is gone: the run goes on, and its history begins at step 8"}; !reflect.DeepEqual(again.Warnings, want) {
		t.Errorf("warnings %q, want %q", again.Warnings, want)
	}
	if err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(weights(again), weights(whole)) || len(again.History.Steps) != 13 ||
		again.History.Evaluations[0].Step != 10 {
		t.Errorf("%d steps, evaluations %+v, or other weights", len(again.History.Steps), again.History.Evaluations)
	}
	if !strings.HasPrefix(contents(t, file), `{"kind":"lost","steps":7}`+"\n"+`{"kind":"step","step":8,`) {
		t.Errorf("the history begins with %.80s", contents(t, file))
	}
	// At the end of an epoch its evaluation is gone too: it is made again, so that a run always ends with one.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	last := resumed(t, r.CheckpointPath)
	if err := last.Run(t.Context()); err != nil || len(last.History.Evaluations) != 1 ||
		last.History.Evaluations[0].Step != tinyTotal {
		t.Errorf("%v: %+v", err, last.History.Evaluations)
	}
}

func weights(r *Trainer) (all [][]float32) {
	for _, p := range r.Model.Params.All() {
		all = append(all, p.Data())
	}
	return all
}

// The checkpoint names its kernels; a run that goes on with others says so in a line and keeps a record of both.
func TestOtherKernelsAreToldOf(t *testing.T) {
	now := graph.CurrentKernels()
	r := halfway(t)
	if want := (graph.KernelHistory{{From: 0, Kernels: now}}); !reflect.DeepEqual(r.Kernels, want) ||
		len(resumed(t, r.CheckpointPath).Warnings) != 0 {
		t.Fatalf("%+v, want %+v without a warning", r.Kernels, want)
	}
	others := now
	others.SIMD, others.BLAS = "other", "OpenBLAS 0.0 Prescott (cgo)"
	for name, c := range map[string]struct {
		was  any
		want graph.KernelHistory
		line string
	}{
		"others": {graph.KernelHistory{{From: 0, Kernels: others}},
			graph.KernelHistory{{From: 0, Kernels: others}, {From: 7, Kernels: now}},
			fmt.Sprintf("it goes on with other kernels: from SIMD other, BLAS OpenBLAS 0.0 Prescott (cgo) to SIMD %s, BLAS %s; ",
				now.SIMD, now.BLAS)},
		"none, as of an old checkpoint": {nil, graph.KernelHistory{{From: 0}, {From: 7, Kernels: now}},
			"it is not recorded on which kernels this was begun; these are "},
	} {
		path := rewritten(t, r.CheckpointPath, func(p map[string]any) { p["kernels"] = c.was })
		again := resumed(t, path)
		if len(again.Warnings) != 1 || !strings.HasPrefix(again.Warnings[0], c.line) ||
			strings.Contains(again.Warnings[0], "\n") {
			t.Errorf("%s: %q, want %q", name, again.Warnings, c.line)
		}
		if err := again.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := resumed(t, path); !reflect.DeepEqual(got.Kernels, c.want) || len(got.Warnings) != 0 {
			t.Errorf("%s: %+v and %q after the end, want %+v", name, got.Kernels, got.Warnings, c.want)
		}
	}
}

// With the old keys a run draws what it always did: the samples of a stage are those of seed + stage, what it is
// evaluated on those of seed + 9000 + stage. With the new ones no sample of an evaluation is drawn by a training,
// whatever the two seeds.
func TestSampleKeys(t *testing.T) {
	ids := func(keys tasks.Keys, seed uint64, p tasks.Purpose) map[string]bool {
		c := tiny()
		c.SampleKeys, c.Seed = keys, seed
		samples, err := tasks.Mixture(64, c.params(40), c.draw().For(p, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]bool{}
		for _, s := range samples {
			all[fmt.Sprint(s.IDs)] = true
		}
		return all
	}
	common := func(a, b map[string]bool) (n int) {
		for s := range a {
			if b[s] {
				n++
			}
		}
		return n
	}
	if old := ids(tasks.Keys1, 9042, tasks.Training); common(old, ids(0, 42, tasks.HeldOut)) != len(old) {
		t.Error("with keys 1 seeds 9042 and 42 no longer meet: old results mean something else")
	}
	if n := common(ids(tasks.Keys2, 9042, tasks.Training), ids(tasks.Keys2, 42, tasks.HeldOut)); n != 0 {
		t.Errorf("with keys 2 a training of seed 9042 sees %d samples of the evaluation of seed 42", n)
	}
}
