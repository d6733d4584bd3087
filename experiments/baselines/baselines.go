// Package baselines has the experiment that trains other architectures at the size of a SynapNet on the same data, and
// holds their accuracy, speed and memory against its own.
package baselines

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// descriptions are the experiments' descriptions.
//
//go:embed *.toml
var descriptions embed.FS

// baselineSettings are those of the comparison with other architectures.
type baselineSettings struct {
	Paper  baselinePart   `json:"paper"`
	Strict baselinePart   `json:"strict"`
	Making qat.Experiment `json:"making"` // of SynapNet's quantised form

	Speed       []int `json:"speed"` // tokens of the timed passes
	Repetitions int   `json:"repetitions"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// baselinePart is one protocol: every architecture trained alike and evaluated.
type baselinePart struct {
	Architectures []string          `json:"architectures"`
	Training      curriculum.Config `json:"training"` // of the reference; the others are matched to its parameters
	Tasks         []string          `json:"tasks"`
	Contexts      []int             `json:"contexts"` // of the evaluation
	Samples       int               `json:"samples"`
	Seed          uint64            `json:"seed"` // of the evaluation's samples

	// Rates are peak learning rates, of which each architecture has the one whose model, trained with the first seed, is
	// right most often on Validation samples of each task and context; none: that of Training.
	Rates      []float64 `json:"rates,omitempty"`
	Validation int       `json:"validation_samples,omitempty"`
	// Seeds are those that each architecture is trained with; none: that of Training.
	Seeds []uint64 `json:"seeds,omitempty"`
}

// The forms in which a model is evaluated besides the one that was trained.
const (
	int4Form = "int4" // uniform, as the published names say
)

// inInt4 are the architectures whose published names say INT4, and the selective scan beside its proxy.
var inInt4 = []layers.Architecture{layers.Llama, layers.GRUSSM, layers.Mamba2}

// Validate names the first setting that cannot be.
func (s baselineSettings) Validate() error {
	if err := cmp.Or(bounds.List("paper.architectures", s.Paper.Architectures...),
		bounds.List("strict.architectures", s.Strict.Architectures...), bounds.List("speed", s.Speed...),
		bounds.AtLeast("speed", layers.MinContext, s.Speed...),
		bounds.AtLeast("repetitions", 1, s.Repetitions)); err != nil {
		return err
	}
	_, err := (&baselines{baselineSettings: s}).models()
	return err
}

// Experiment trains and measures the baselines beside a SynapNet of their size.
func Experiment() lab.Experiment {
	training := curriculum.Default()
	training.SampleKeys = 0 // the experiment's own
	return lab.Describe(descriptions, "baselines", baselineSettings{
		Paper: baselinePart{Training: training},
		Strict: baselinePart{
			Training: training, Architectures: layers.BuiltinArchitectures(), Tasks: measure.SuiteTasks("mixture"),
		},
		Making: qat.DefaultExperiment(),
	}, runBaselines)
}

// scores are those of a model by context and task.
type scores map[string]map[string]result.Score

// baselineCell is one trained architecture, the validation of one at one rate, or the passes of one at one length.
type baselineCell struct {
	Config     layers.Config `json:"config,omitzero"`
	Parameters int           `json:"parameters,omitempty"`
	Seconds    float64       `json:"training_seconds,omitempty"` // of all calls
	// mean of the last steps
	Loss       float64              `json:"loss,omitempty"`
	Accuracy   map[string]scores    `json:"accuracy,omitempty"` // by form
	Validation scores               `json:"validation,omitempty"`
	Passes     *measure.ProbeResult `json:"passes_alone,omitempty"`
}

type baselines struct {
	baselineSettings
	job  *lab.Job
	work string // folder of checkpoints
	done *lab.Cells[baselineCell]
}

// baselineModel is an architecture in a protocol, or one training of it.
type baselineModel struct {
	protocol, name string
	config         curriculum.Config
	training       string // its rate and seed, where there are several; else ""
}

func (m baselineModel) key() string { return m.protocol + "/" + m.name }

// timing is the cell of its passes over a sequence.
func (m baselineModel) timing(tokens int) string { return fmt.Sprintf("%s/%d tokens", m.key(), tokens) }

// lengths are those of the timed passes that the model has positions for.
func (m baselineModel) lengths(all []int) (fit []int) {
	for _, t := range all {
		if t <= m.config.Model.MaxLen {
			fit = append(fit, t)
		}
	}
	return fit
}

func runBaselines(ctx context.Context, j *lab.Job, s baselineSettings) (*lab.Outcome, error) {
	r := &baselines{baselineSettings: s, job: j}
	models, err := r.models()
	if err != nil {
		return nil, err
	}
	cells := 0
	for _, m := range models {
		p := r.part(m.protocol)
		cells += len(p.compared()) + len(p.seeds()) + len(m.lengths(r.Speed))
	}
	if r.done, err = lab.NewCells[baselineCell](j, cells); err != nil {
		return nil, err
	}
	if r.work, err = j.Work(); err != nil {
		return nil, err
	}
	r.done.Outcome = func() (*lab.Outcome, error) { return r.outcome(models) }
	for _, m := range models {
		if err := r.trainings(ctx, m); err != nil {
			return nil, err
		}
	}
	for _, m := range models {
		if err := r.time(ctx, m); err != nil {
			return nil, err
		}
	}
	return r.done.Finish()
}

func (r *baselines) part(protocol string) baselinePart {
	if protocol == result.Paper {
		return r.Paper
	}
	return r.Strict
}

// models lists all, and finds out what cannot work.
func (r *baselines) models() ([]baselineModel, error) {
	var all []baselineModel
	for _, protocol := range []string{result.Paper, result.Strict} {
		configs, err := r.part(protocol).configs(r.SampleKeys)
		if err != nil {
			return nil, bounds.In(protocol, err)
		}
		for i, name := range r.part(protocol).Architectures {
			m := baselineModel{protocol: protocol, name: name, config: configs[i]}
			if slices.Contains(formsOf(m), qat.CAJQPTQ) {
				if err := measure.CheckVariants("making", r.Making, m.config.Model, qat.CAJQPTQ); err != nil {
					return nil, err
				}
			}
			all = append(all, m)
		}
	}
	return all, nil
}

// configs are the trainings of the architectures.
func (p baselinePart) configs(keys tasks.Keys) (all []curriculum.Config, err error) {
	if n := len(p.Training.Stage); n > 0 || p.Training.Data != nil {
		return nil, bounds.Wrong("training.stage", n, "all architectures learn one curriculum: leave stages and data out")
	}
	if p.Training.InitFrom != "" {
		return nil, bounds.Wrong("training.init_from", p.Training.InitFrom, "the architectures begin from initial weights: "+
			"leave it out")
	}
	if k := p.Training.SampleKeys; k != 0 {
		return nil, bounds.Wrong("training.sample_keys", k, "leave it out: the experiment's own sample_keys counts")
	}
	if err := cmp.Or(bounds.Known("architectures", layers.Architectures(), p.Architectures...),
		bounds.In("training.model", p.Training.Model.Validate()), bounds.Names("tasks", tasks.Names(), p.Tasks...),
		bounds.AtLeast("samples", 1, p.Samples)); err != nil {
		return nil, err
	}
	if err := p.checkTrainings(); err != nil {
		return nil, err
	}
	of := tasks.Settings{Task: "tasks", Length: "contexts", Vocab: "training.model.vocab_size",
		Classes: "training.model.num_classes"}
	for _, name := range p.Architectures {
		a, err := layers.ParseArchitecture(name)
		if err != nil {
			return nil, err
		}
		c := p.Training
		c.SampleKeys = keys
		if c.Model, err = layers.MatchedConfig(a, p.Training.Model); err != nil {
			return nil, bounds.Wrong("architectures", name, "%v", err)
		}
		if err := cmp.Or(bounds.In("training", c.Validate()),
			measure.CheckTests(of, c.Model, p.Contexts, p.Tasks...)); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (r *baselines) checkpoint(m baselineModel) string {
	return filepath.Join(r.work, m.protocol+"-"+m.name+m.training+".safetensors")
}

// trained is the cell of an architecture that was trained, without any accuracy.
func (r *baselines) trained(ctx context.Context, m baselineModel) (
	t *curriculum.Trainer, cell baselineCell, err error) {
	if t, err = r.train(ctx, m); err != nil {
		return nil, cell, err
	}
	steps := t.History.Steps
	if len(steps) == 0 {
		return nil, cell, fmt.Errorf("the history of the training in %s is gone: delete that to train %s anew",
			r.checkpoint(m), m.name)
	}
	last := steps[max(0, len(steps)-lab.LossBlock):]
	for _, s := range last {
		cell.Loss += s.Loss / float64(len(last))
	}
	cell.Config, cell.Parameters = m.config.Model, t.Model.Params.Count()
	cell.Seconds, err = r.seconds(m, 0)
	return t, cell, err
}

// trainAndEvaluate trains and evaluates an architecture.
func (r *baselines) trainAndEvaluate(ctx context.Context, m baselineModel) (cell baselineCell, err error) {
	t, cell, err := r.trained(ctx, m)
	if err != nil {
		return cell, err
	}
	cell.Accuracy = map[string]scores{}
	for _, form := range formsOf(m) {
		model, err := r.form(ctx, m, t.Model, form)
		if err != nil {
			return cell, err
		}
		if cell.Accuracy[form], err = r.evaluate(ctx, m, model, tasks.Baselines, r.part(m.protocol).Samples); err != nil {
			return cell, err
		}
		for _, at := range sortedContexts(cell.Accuracy[form]) {
			r.job.Line("%s, %s, %s, %s tokens: %s", m.protocol, m.name, form, at, accuracyLine(cell.Accuracy[form][at]))
		}
	}
	return cell, nil
}

func sortedContexts[T any](m map[string]T) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		x, _ := strconv.Atoi(a) // we wrote them
		y, _ := strconv.Atoi(b)
		return x - y
	})
}

func accuracyLine(of map[string]result.Score) string {
	var parts []string
	for task, a := range of {
		parts = append(parts, fmt.Sprintf("%s %.3f", task[strings.LastIndexByte(task, '/')+1:], a.Mean))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// train trains, or continues a training of the same settings from its checkpoint.
func (r *baselines) train(ctx context.Context, m baselineModel) (*curriculum.Trainer, error) {
	t, continued, err := measure.OpenTraining(r.job, m.key(), r.checkpoint(m), m.config)
	if err != nil {
		return nil, err
	}
	if !continued {
		if err := os.RemoveAll(r.clock(m)); err != nil {
			return nil, err
		}
	}
	total, err := m.config.TotalSteps()
	if err != nil {
		return nil, err
	}
	t.CheckpointEvery = 100
	t.Hooks.Step = func(s curriculum.Step) {
		if s.Step%50 == 0 {
			r.job.Line("%s, %s: step %d of %d, context %d, loss %.3f", m.protocol, m.name, s.Step, total, s.Context, s.Loss)
		}
	}
	start := time.Now()
	clock := func(int) error { // with each checkpoint, so that the time of what a kill leaves is known
		now := time.Now()
		_, err := r.seconds(m, now.Sub(start).Seconds())
		start = now
		return err
	}
	t.Hooks.Saved = clock
	if err := t.Run(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	return t, clock(t.Done())
}

// clock is the file that adds up the seconds of a training over interruptions.
func (r *baselines) clock(m baselineModel) string { return r.checkpoint(m) + ".seconds.json" }

// seconds adds to the time of a training and returns it all.
func (r *baselines) seconds(m baselineModel, more float64) (float64, error) {
	all := 0.0
	switch text, err := files.Read(r.clock(m), lab.MaxNote); {
	case err == nil:
		if all, err = strconv.ParseFloat(strings.TrimSpace(string(text)), 64); err != nil {
			return 0, fmt.Errorf("%s: %w; delete it", r.clock(m), err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return 0, err
	}
	if more == 0 {
		return all, nil
	}
	return all + more, files.WriteJSON(r.clock(m), all+more)
}

// formsOf are the forms in which an architecture is evaluated.
func formsOf(m baselineModel) []string {
	a := m.config.Model.Architecture
	switch {
	case a == layers.SynapNet:
		return []string{result.Trained, qat.CAJQPTQ}
	case slices.Contains(inInt4, a):
		return []string{result.Trained, int4Form}
	}
	return []string{result.Trained}
}

// form is the trained model in one of its forms.
func (r *baselines) form(ctx context.Context, m baselineModel, trained *layers.Model, form string) (*layers.Model,
	error) {
	switch form {
	case int4Form:
		rounded, err := trained.Clone()
		if err != nil {
			return nil, err
		}
		return rounded, qat.RoundBaseline(rounded)
	case qat.CAJQPTQ:
		variants, err := qat.LookupVariants(form)
		if err != nil {
			return nil, err
		}
		built, err := variants[0].Build(ctx, trained, r.Making, tasks.Draw{Keys: r.SampleKeys, Seed: m.config.Seed},
			qat.Session{})
		if err != nil {
			return nil, err
		}
		if m.protocol == result.Paper {
			return built.Model, nil
		}
		return built.Quantised.PackedModel()
	}
	return trained, nil
}

// evaluate scores a model on n samples of each task and context for a purpose.
func (r *baselines) evaluate(ctx context.Context, m baselineModel, model *layers.Model, purpose tasks.Purpose, n int) (
	scores, error) {
	p := r.part(m.protocol)
	all, err := measure.EvaluationPlan{Tasks: p.Tasks, Contexts: p.Contexts, Samples: n, BatchSize: 8, Seed: p.Seed,
		Purpose: purpose, SampleKeys: r.SampleKeys}.Scores(ctx, model)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.key(), err)
	}
	return all, nil
}

// time measures passes of an architecture, each length in a process of its own. The time does not depend on the
// weights, so these are the initial ones.
func (r *baselines) time(ctx context.Context, m baselineModel) error {
	path := filepath.Join(r.work, "timed.safetensors")
	made := false
	for _, length := range m.lengths(r.Speed) {
		_, err := r.done.Do(ctx, m.timing(length), func() (cell baselineCell, err error) {
			if !made {
				model, err := layers.NewModel(m.config.Model, m.config.Seed)
				if err != nil {
					return cell, err
				}
				if err := model.Save(path); err != nil {
					return cell, err
				}
				made = true
			}
			p, err := measure.Probe{Model: path, Context: length, Threads: measure.AllThreads(), Warmups: 2,
				Timed: r.Repetitions, Seed: r.part(m.protocol).Seed}.Start(ctx)
			cell.Passes = &p
			return cell, err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// costs are the speed and the memory of passes over a sequence.
func costs(m baselineModel, length int, p *measure.ProbeResult) []result.Measurement {
	l := result.Labels{result.ModelLabel: m.name, result.ContextLabel: result.ContextOf(length)}
	var rates []float64
	for _, seconds := range p.Seconds {
		rates = append(rates, float64(length)/seconds)
	}
	speed := result.MedianOf(l, m.protocol, "tokens_per_second", "tokens/s", rates)
	memory := result.ExactOf(l, m.protocol, "memory", "bytes", float64(p.WeightBytes+p.ArenaBytes))
	memory.Note = "weights and the planned activations, not the process"
	return []result.Measurement{speed, memory}
}
