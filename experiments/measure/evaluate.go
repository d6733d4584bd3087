package measure

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// EvaluationPlan says on what a trained model is evaluated.
type EvaluationPlan struct {
	Tasks     []string `json:"tasks"`
	Contexts  []int    `json:"contexts"` // tokens
	Samples   int      `json:"samples"`  // of each task at each context
	BatchSize int      `json:"batch_size"`
	Seed      uint64   `json:"seed"`
	// Chunk is the number of tokens that are read at a time, as of a stream of which all that is written stays; 0: a
	// sample is read in one pass. Contexts are multiples of it.
	Chunk int `json:"chunk,omitempty"`
	// Purpose of the samples; "" is Evaluation. Samples of another purpose are apart from it, whatever the seeds.
	Purpose    tasks.Purpose `json:"purpose"`
	SampleKeys tasks.Keys    `json:"sample_keys"` // version of the keys of samples' streams
}

// TaskResult is the accuracy on one task at one context length.
type TaskResult struct {
	Task    string `json:"task"`
	Context int    `json:"context"`
	curriculum.Accuracy
	Chance  float64 `json:"chance"` // without reading the input
	Seconds float64 `json:"seconds"`
}

// Suites lists the names that SuiteTasks knows: mixture (the training mixture), curriculum (its tasks and the
// memory-pressure task), each prefix of the registry, and all.
func Suites() []string {
	names := []string{"mixture", "curriculum"}
	for _, task := range tasks.Names() {
		names = lab.AppendNew(names, suiteOf(task))
	}
	return append(names, "all")
}

// suiteOf is the part of a task's name before its last slash.
func suiteOf(task string) string {
	if i := strings.LastIndexByte(task, '/'); i >= 0 {
		return task[:i]
	}
	return "curriculum"
}

// SuiteTasks lists the tasks of a suite, nil if there is none of that name.
func SuiteTasks(suite string) []string {
	if suite == "mixture" {
		var names []string
		for _, w := range tasks.TrainingMixture() {
			names = append(names, w.Task)
		}
		return names
	}
	return slices.DeleteFunc(tasks.Names(), func(task string) bool { return suite != "all" && suiteOf(task) != suite })
}

// Check names the first part of the plan that does not fit a model of configuration c, before anything is computed.
func (p EvaluationPlan) Check(c layers.Config) error {
	if c.LanguageModel() {
		return fmt.Errorf("the model predicts tokens (num_classes 0): the tasks need a model with a classification head")
	}
	if err := p.SampleKeys.Check(); err != nil {
		return err
	}
	if len(p.Tasks) == 0 || len(p.Contexts) == 0 {
		return fmt.Errorf("nothing to evaluate: name at least one task and one context")
	}
	for _, length := range p.Contexts {
		if p.Chunk > 0 && length%p.Chunk != 0 {
			return fmt.Errorf("context %d: it must be a multiple of a chunk's %d tokens", length, p.Chunk)
		}
		if length < layers.MinContext || p.Chunk == 0 && length > c.MaxLen {
			return fmt.Errorf("context %d: it must be from %d to the model's %d positions (max_len)", length, layers.MinContext,
				c.MaxLen)
		}
		for _, task := range p.Tasks {
			if err := tasks.Check(task, TaskParams(c, length)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Run evaluates m on every task at every context and tells report of each result as it comes. It stops when ctx ends.
func (p EvaluationPlan) Run(ctx context.Context, m *layers.Model, report func(TaskResult)) ([]TaskResult, error) {
	if err := p.Check(m.Config); err != nil {
		return nil, err
	}
	var all []TaskResult
	for _, task := range p.Tasks {
		for _, length := range p.Contexts {
			r, err := p.evaluateTask(ctx, m, task, length)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
			if report != nil {
				report(r)
			}
		}
	}
	return all, nil
}

func (p EvaluationPlan) evaluateTask(ctx context.Context, m *layers.Model, task string, length int) (r TaskResult,
	err error) {
	r.Task, r.Context = task, length
	if r.Chance, err = tasks.Chance(task, TaskParams(m.Config, length)); err != nil {
		return r, err
	}
	start := time.Now()
	e, err := p.score(ctx, m, task, length)
	r.Accuracy, r.Seconds = e.Overall, time.Since(start).Seconds()
	return r, err
}

// score is that of m on a task at a context.
func (p EvaluationPlan) score(ctx context.Context, m *layers.Model, task string, length int) (curriculum.Scored,
	error) {
	params := TaskParams(m.Config, length)
	from := tasks.Draw{Keys: p.SampleKeys, Seed: p.Seed}.For(cmp.Or(p.Purpose, tasks.Evaluation), 0)
	batch := min(p.BatchSize, p.Samples)
	if p.Chunk > 0 {
		all, err := tasks.Generate(task, p.Samples, params, from)
		if err != nil {
			return curriculum.Scored{}, err
		}
		return curriculum.EvaluateChunks(ctx, m, all, length/p.Chunk, batch)
	}
	source, err := tasks.NewSampler(task, params, from)
	if err != nil {
		return curriculum.Scored{}, err
	}
	return curriculum.EvaluateSamples(ctx, m, p.Samples, length, batch, source.Next, nil)
}

// Scores are those of m by context, then task, with the outcomes of single samples.
func (p EvaluationPlan) Scores(ctx context.Context, m *layers.Model) (map[string]map[string]result.Score, error) {
	if err := p.Check(m.Config); err != nil {
		return nil, err
	}
	all := map[string]map[string]result.Score{}
	for _, length := range p.Contexts {
		of := map[string]result.Score{}
		for _, task := range p.Tasks {
			e, err := p.score(ctx, m, task, length)
			if err != nil {
				return nil, fmt.Errorf("%s at %d tokens: %w", task, length, err)
			}
			of[task] = result.NewScore(e)
		}
		all[result.ContextOf(length)] = of
	}
	return all, nil
}

// TaskParams are those of a task of t tokens for a model of configuration m.
func TaskParams(m layers.Config, t int) tasks.Params {
	return tasks.Params{Length: t, Vocab: m.VocabSize, Classes: m.NumClasses}
}

// EvalBatch is the number of samples that are evaluated together; it does not change their results.
const EvalBatch = 2

// MixtureTask names the training mixture among the tasks.
const MixtureTask = MetricMixture

// Chance is the accuracy of a model of configuration c on a task, or the mixture, without reading the input.
func Chance(c layers.Config, task string, length int) (float64, error) {
	p := TaskParams(c, length)
	if task != MixtureTask {
		return tasks.Chance(task, p)
	}
	sum, whole := 0.0, 0.0
	for _, w := range tasks.TrainingMixture() {
		c, err := tasks.Chance(w.Task, p)
		if err != nil {
			return 0, err
		}
		sum, whole = sum+w.Share*c, whole+w.Share
	}
	return sum / whole, nil
}
