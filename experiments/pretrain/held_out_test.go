package pretrain

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// pretrainedRoot is a results folder with the models of two seeds.
func pretrainedRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if _, err := seedsJob(t, filepath.Join(root, "pretrain"), tiny(43)).Run(t.Context(), Experiment()); err != nil {
		t.Fatal(err)
	}
	return root
}

// smallHeldOut are settings for its models, one of which stands beside them as another's.
func smallHeldOut() heldOutSettings {
	s := HeldOutExperiment().Settings(lab.Quick).(heldOutSettings)
	s.Contexts, s.Samples = []int{32, 64}, []int{20, 6}
	s.Reference, s.ReferenceSamples = "pretrain/"+SeedFile(43), 8
	return s
}

// Every model has its accuracies by task, context and class, of the same samples; a run that was stopped ends alike.
func TestHeldOut(t *testing.T) {
	root, s := pretrainedRoot(t), smallHeldOut()
	o := labtest.CheckRuns(t, HeldOutExperiment(), root, func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
		return runHeldOut(ctx, j, s)
	}, labtest.Always)
	accuracy := func(model, task string) result.Measurement {
		return labtest.Find(t, o, result.Strict, "accuracy",
			result.Labels{result.ModelLabel: model, result.TaskLabel: task, result.ContextLabel: "32"})
	}
	if m := accuracy("seed 42", curriculum.Overall); m.N != 80 {
		t.Errorf("overall is of %d samples", m.N)
	}
	if one, other, both := accuracy("seed 42", "fa"), accuracy("seed 43", "fa"), accuracy(allSeeds, "fa"); both.N != 40 ||
		both.Mean != (one.Mean+other.Mean)/2 {
		t.Errorf("%+v of %+v and %+v", both, one, other)
	}
	if m := accuracy(publishedRecipe, "fa"); m.N != 8 {
		t.Errorf("the reference has %d samples of a task", m.N)
	}
	cells := o.Details.(*lab.Cells[heldOutCell]).Done
	ours, reference := cells["seed 43/fa/32/0"], cells[publishedRecipe+"/fa/32/0"]
	for i := range reference.N { // the same model on the first of the same samples
		if ours.Outcomes.Right(i) != reference.Outcomes.Right(i) {
			t.Errorf("sample %d: %t, as the reference %t", i, ours.Outcomes.Right(i), reference.Outcomes.Right(i))
		}
	}
}

// A class that was never asked for is not the lowest.
func TestLowestClass(t *testing.T) {
	var of tested
	of.add(heldOutCell{Asked: []int{4, 0, 2}, Right: []int{3, 0, 1}})
	of.add(heldOutCell{Asked: []int{4, 0, 2}, Right: []int{3, 0, 2}})
	if class, a := of.lowest(); class != 0 || a.N != 8 || a.Correct != 6 {
		// class 2 is right in 3 of 4, as class 0 in 6 of 8: the first of them
		t.Errorf("class %d, %+v", class, a)
	}
	of.add(heldOutCell{Asked: []int{0, 0, 1}, Right: []int{0, 0, 0}})
	if class, a := of.lowest(); class != 2 || a.N != 5 || a.Correct != 3 {
		t.Errorf("class %d, %+v", class, a)
	}
}

// Parts cover each task's samples once, and those of short contexts come first.
func TestHeldOutParts(t *testing.T) {
	s := HeldOutExperiment().Settings(lab.Strong).(heldOutSettings)
	n, last := map[string]int{}, 0
	for _, p := range s.parts([]heldOutModel{{name: "a"}, {name: "b", reference: true}}) {
		if p.context < last || (p.to-p.from)*p.context > heldOutTokens {
			t.Errorf("%s, to %d, after %d tokens", p.name(), p.to, last)
		}
		last, n[p.model.name] = p.context, n[p.model.name]+p.to-p.from
	}
	if want := map[string]int{"a": 16_000, "b": 3200}; !reflect.DeepEqual(n, want) {
		t.Errorf("%v", n)
	}
}

// What it answered is of the models that it read.
func TestHeldOutRefuses(t *testing.T) {
	root, s := pretrainedRoot(t), smallHeldOut()
	s.Reference = "missing.safetensors"
	j := labtest.NewJob(t, HeldOutExperiment(), root)
	if _, err := runHeldOut(t.Context(), j, s); err == nil || !strings.HasPrefix(err.Error(), "reference is ") {
		t.Errorf("a missing reference: %v", err)
	}
	s.Reference, s.Contexts, s.Samples = "", []int{32}, []int{1, 2}
	if _, err := runHeldOut(t.Context(), j, s); err == nil || !strings.HasPrefix(err.Error(), "samples is [1 2]") {
		t.Errorf("samples of two contexts: %v", err)
	}
	s.Samples = []int{1}
	path := filepath.Join(t.TempDir(), "held-out.json")
	open := func() *lab.Job {
		j, _, err := lab.Standalone(HeldOutExperiment(), s, nil, path, result.Environment{})
		if err != nil {
			t.Fatal(err)
		}
		j.Root = root
		return j
	}
	if _, err := open().Run(t.Context(), HeldOutExperiment()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "pretrain")
	if err := os.Rename(filepath.Join(dir, SeedFile(43)), filepath.Join(dir, lab.ModelFile)); err != nil {
		t.Fatal(err)
	}
	labtest.Put(t, root, "pretrain", SeedFile(43), filepath.Join(dir, lab.ModelFile))
	if _, err := open().Run(t.Context(), HeldOutExperiment()); err == nil || !strings.Contains(err.Error(), "of another") {
		t.Errorf("another model: %v", err)
	}
}
