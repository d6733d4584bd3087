package measure

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// smallConfig is a model that takes no time.
func smallConfig() layers.Config {
	c := layers.Reference()
	c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses = 8, 1, 2, 64, 64, 16
	return c
}

func smallModel(t *testing.T) *layers.Model {
	t.Helper()
	m, err := layers.NewModel(smallConfig(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var smallPlan = EvaluationPlan{Tasks: []string{"niah_single", "needlebench/cn"}, Contexts: []int{32, 64}, Samples: 10,
	BatchSize: 3, Seed: 7, SampleKeys: tasks.CurrentKeys}

// A model that always gives one answer is right as often as that is the label.
func TestEvaluationCounts(t *testing.T) {
	m := smallModel(t)
	for _, p := range m.Params.All() {
		switch p.Name {
		case "head.weight":
			clear(p.Data())
		case "head.bias":
			p.Data()[2] = 1
		}
	}
	results, err := smallPlan.Run(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		samples, err := tasks.Generate(r.Task, 10, tasks.Params{Length: r.Context, Vocab: 64, Classes: 16},
			tasks.Seeded(7).For(tasks.Evaluation, 0))
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, s := range samples {
			if s.Label == 2 {
				want++
			}
		}
		if r.Accuracy != curriculum.NewAccuracy(want, 10) {
			t.Errorf("%s at %d: got %+v, want %d of 10", r.Task, r.Context, r.Accuracy, want)
		}
	}
}

// Results come in the order of the plan, each with its level of guessing, whatever the batch size.
func TestEvaluationOrder(t *testing.T) {
	m := smallModel(t)
	var told []TaskResult
	results, err := smallPlan.Run(t.Context(), m, func(r TaskResult) { told = append(told, r) })
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range results {
		order = append(order, fmt.Sprintf("%s %d %g", r.Task, r.Context, r.Chance))
	}
	want := []string{"niah_single 32 0.0625", "niah_single 64 0.0625", "needlebench/cn 32 0.125",
		"needlebench/cn 64 0.125"}
	if !slices.Equal(order, want) || !reflect.DeepEqual(told, results) {
		t.Errorf("got %q, told of %d", order, len(told))
	}
	other := smallPlan
	other.BatchSize = 64
	again, err := other.Run(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range again {
		if again[i].Accuracy != results[i].Accuracy {
			t.Errorf("%s: batch size 64 gives %v, 3 gives %v", again[i].Task, again[i].Accuracy, results[i].Accuracy)
		}
	}
}

// A plan with a chunk reads its samples in chunks of that many tokens, more of them than the model has positions, too.
func TestEvaluationInChunks(t *testing.T) {
	m := smallModel(t)
	plan := smallPlan
	plan.Tasks, plan.Contexts, plan.Chunk = []string{"niah_single"}, []int{2 * m.Config.MaxLen}, m.Config.MaxLen/2
	scores, err := plan.Scores(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := tasks.Generate("niah_single", 10, TaskParams(m.Config, plan.Contexts[0]),
		tasks.Seeded(7).For(tasks.Evaluation, 0))
	if err != nil {
		t.Fatal(err)
	}
	want, err := curriculum.EvaluateChunks(t.Context(), m, samples, 4, 10)
	if err != nil {
		t.Fatal(err)
	}
	if got := scores[result.ContextOf(plan.Contexts[0])]["niah_single"]; !reflect.DeepEqual(got, result.NewScore(want)) {
		t.Errorf("got %+v, want %+v", got, result.NewScore(want))
	}
	plan.Contexts[0]++
	if err := plan.Check(m.Config); err == nil || !strings.Contains(err.Error(), "it must be a multiple of a chunk's") {
		t.Error(err)
	}
}

// No sample of an evaluation is one that a training of the same seed has seen.
func TestEvaluationIsHeldOut(t *testing.T) {
	p := tasks.Params{Length: 64, Vocab: 64, Classes: 16}
	seen := map[string]bool{}
	for stage := range 4 {
		training, err := tasks.Mixture(512, p, tasks.Seeded(7).For(tasks.Training, stage), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range training {
			seen[fmt.Sprint(s.IDs)] = true
		}
	}
	for _, task := range SuiteTasks("mixture") {
		samples, err := tasks.Generate(task, 64, p, tasks.Seeded(7).For(tasks.Evaluation, 0))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range samples {
			if seen[fmt.Sprint(s.IDs)] {
				t.Fatalf("a sample of %s was in the training", task)
			}
		}
	}
}

func TestEvaluationErrors(t *testing.T) {
	classifier := smallConfig()
	languageModel := classifier
	languageModel.NumClasses = 0
	for want, c := range map[string]struct {
		model  layers.Config
		change func(*EvaluationPlan)
	}{
		"num_classes 0":       {languageModel, func(*EvaluationPlan) {}},
		"context 65: it must": {classifier, func(p *EvaluationPlan) { p.Contexts = []int{64, 65} }},
		"context 7: it must":  {classifier, func(p *EvaluationPlan) { p.Contexts = []int{7} }},
		"at least one task":   {classifier, func(p *EvaluationPlan) { p.Tasks = nil }},
		`did you mean "fa"`:   {classifier, func(p *EvaluationPlan) { p.Tasks = []string{"fb"} }},
		"length 8 is too smal": {classifier,
			func(p *EvaluationPlan) { p.Contexts, p.Tasks = []int{8}, []string{"niah_multi_key"} }},
	} {
		p := smallPlan
		c.change(&p)
		if err := p.Check(c.model); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := smallPlan.Run(ctx, smallModel(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// Every task belongs to one suite, beside those that are made of others.
func TestSuites(t *testing.T) {
	of := map[string]int{}
	for _, suite := range Suites() {
		found := SuiteTasks(suite)
		if len(found) == 0 {
			t.Errorf("suite %s is empty", suite)
		}
		for _, task := range found {
			if suite != "all" && suite != "mixture" {
				of[task]++
			}
		}
	}
	for _, task := range tasks.Names() {
		if of[task] != 1 {
			t.Errorf("task %s is in %d suites", task, of[task])
		}
	}
	if got := SuiteTasks("mixture"); !slices.Equal(got,
		[]string{"niah_single", "niah_multi_key", "variable_track", "fa"}) {
		t.Errorf("mixture: %v", got)
	}
	if got := SuiteTasks("needle"); len(got) != 0 {
		t.Errorf("no such suite: %v", got)
	}
}
