package curriculum

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

func written(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "checkpoint.safetensors")
	put(t, path, text)
	return path
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// halfway is the checkpoint of a tiny run after 7 steps.
func halfway(t *testing.T) *Trainer {
	t.Helper()
	r := begin(t, tiny())
	r.CheckpointEvery = 7
	stop := os.ErrDeadlineExceeded
	r.Hooks.Saved = func(step int) error {
		if step == 7 {
			return stop
		}
		return nil
	}
	if err := r.Run(t.Context()); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	return r
}

// A checkpoint is a model file too: it can be evaluated while the run goes on.
func TestCheckpointIsAModel(t *testing.T) {
	r := halfway(t)
	m, err := layers.Load(r.CheckpointPath)
	if err != nil || !m.Config.Equal(r.Config.Model) {
		t.Fatalf("%+v %v", m, err)
	}
	for i, p := range m.Params.All() {
		if !slices.Equal(p.Data(), r.Model.Params.All()[i].Data()) {
			t.Errorf("%s differs", p.Name)
		}
	}
}

// A checkpoint that is not whole, or says what no run can have done, is refused with the file and why.
func TestResumeRefuses(t *testing.T) {
	path := halfway(t).CheckpointPath
	whole := contents(t, path)
	position := func(change func(p map[string]any)) func(*safetensors.File) {
		return func(f *safetensors.File) {
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
		}
	}
	set := func(key string, value any) func(*safetensors.File) {
		return position(func(p map[string]any) { p[key] = value })
	}
	without := func(name string) func(*safetensors.File) {
		return func(f *safetensors.File) {
			f.Tensors = slices.DeleteFunc(f.Tensors, func(x safetensors.Tensor) bool { return x.Name == name })
		}
	}
	for name, c := range map[string]struct {
		damage func(*safetensors.File)
		want   string
	}{
		"a finished model": {func(f *safetensors.File) { delete(f.Metadata, train.Key) },
			`not a checkpoint of a run: the header has no key "training" (a finished model cannot be resumed)`},
		"no JSON": {func(f *safetensors.File) { f.Metadata[train.Key] = "{" },
			"the training position in the header is not valid"},
		"a missing weight": {without("head.weight"), "tensor head.weight is missing"},
		"a missing moment": {without("optim.v.head.weight"), "tensor optim.v.head.weight is missing"},
		"an extra tensor": {func(f *safetensors.File) {
			f.Tensors = append(f.Tensors, safetensors.FromUint8("x", []int{1}, []uint8{1}))
		}, "put together wrongly"},
		"more steps than the run has":   {set("done", 21), "21 steps are done of 20"},
		"negative steps":                {set("done", -1), "-1 steps are done of 20"},
		"an evaluation that is missing": {set("epochs", 0), "after 7 steps 0 epochs are evaluated"},
		"no place in a history":         {set("metrics", nil), "it must have a history or the place of one"},
		"an old history that lacks steps": {position(func(p map[string]any) {
			p["metrics"] = nil
			p["history"] = map[string]any{"steps": []Step{{}, {}}, "evaluations": []EpochEvaluation{{}}}
		}), "after 7 steps the history has 2 steps and 1 evaluations"},
		"other sample keys": {position(func(p map[string]any) {
			p["config"].(map[string]any)["sample_keys"] = 3
		}), "the configuration in the header is not valid: sample_keys is 3"},
		"more updates than steps": {set("updates", map[string]int{"head.bias": 9}), "after 7 steps head.bias has 9 updates"},
		"another shape": {position(func(p map[string]any) {
			p["config"].(map[string]any)["model"].(map[string]any)["dim"] = 32
		}), "the model is of another configuration than the run in the header"},
		"a configuration that cannot work": {position(func(p map[string]any) {
			p["config"].(map[string]any)["lr"] = 0
		}), "the configuration in the header is not valid: lr is 0"},
		"a moment that is no number": {func(f *safetensors.File) {
			for i, x := range f.Tensors {
				if x.Name == "optim.m.head.bias" {
					v, err := x.Float32s()
					if err != nil {
						t.Fatal(err)
					}
					v[1] = float32(math.NaN())
					f.Tensors[i] = safetensors.FromFloat32(x.Name, x.Shape, v)
				}
			}
		}, "tensor optim.m.head.bias has the value NaN at index 1"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := safetensors.Parse([]byte(whole))
			if err != nil {
				t.Fatal(err)
			}
			c.damage(f)
			bad := filepath.Join(t.TempDir(), "bad")
			if err := safetensors.Write(bad, f); err != nil {
				t.Fatal(err)
			}
			refused(t, bad, c.want)
		})
	}
	flipped := []byte(whole)
	flipped[len(flipped)/2] ^= 4
	for what, text := range map[string]string{"empty": "", "cut": whole[:len(whole)-10], "cut in the header": whole[:50],
		"flipped bit": string(flipped), "not safetensors": "hello, world"} {
		t.Run(what, func(t *testing.T) { refused(t, written(t, text), "") })
	}
	refused(t, filepath.Join(t.TempDir(), "absent"), "no such file")
}

func refused(t *testing.T, path, want string) {
	t.Helper()
	r, err := Resume(path)
	if r != nil || err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v\nwant %s: …%s", err, path, want)
	}
}

// Numbers that are no longer finite stop the run; the last good checkpoint is named, readable and finite.
func TestDivergenceStopsTheRun(t *testing.T) {
	c := tiny()
	c.LR, c.WarmupSteps, c.Clip = 1e30, 0, 0
	r := begin(t, c)
	r.CheckpointEvery = 1
	if err := r.Save(); err != nil {
		t.Fatal(err)
	}
	err := r.Run(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "training stopped at step ") ||
		!strings.Contains(err.Error(), r.CheckpointPath) ||
		!strings.HasSuffix(err.Error(), "; the training diverged at lr 1e+30") || !errors.Is(err, train.ErrDiverged) {
		t.Errorf("got %v", err)
	}
	kept := resumed(t, r.CheckpointPath)
	if kept.Done() > r.Done() || len(r.History.Steps) == tinyTotal {
		t.Errorf("checkpoint of step %d, stopped after %d", kept.Done(), r.Done())
	}
}

// Each way for a state to be no number is noticed before it is saved.
func TestSaveKeepsTheLastGoodCheckpoint(t *testing.T) {
	for what, spoil := range map[string]func(*Trainer){
		"weight": func(r *Trainer) { r.Model.Head.Out.B.Data()[0] = float32(math.Inf(1)) },
		"moment": func(r *Trainer) { r.Optimiser.State(r.Model.Head.Out.B).V[0] = float32(math.NaN()) },
	} {
		r := halfway(t)
		r.Hooks.Saved = nil
		before := contents(t, r.CheckpointPath)
		spoil(r)
		err := r.Save()
		if err == nil || !strings.Contains(err.Error(), "head.bias") ||
			!strings.Contains(err.Error(), "the last good checkpoint, of step 7, is "+r.CheckpointPath) {
			t.Errorf("%s: %v", what, err)
		}
		if contents(t, r.CheckpointPath) != before {
			t.Errorf("%s: the checkpoint was replaced", what)
		}
		if err := r.Run(t.Context()); err == nil {
			t.Errorf("%s: the run goes on", what)
		}
	}
}

// An evaluation of a model that is no longer finite stops the run as well.
func TestDivergenceInTheLastStep(t *testing.T) {
	r := begin(t, tiny())
	r.Hooks.Step = func(s Step) {
		if s.Step == tinyPerEpoch {
			r.Model.Head.Out.B.Data()[0] = float32(math.NaN())
		}
	}
	if err := r.Run(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "training stopped at step 6: evaluation: sample 0") {
		t.Errorf("%v", err)
	}
}
