package suites

import (
	"context"
	"embed"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// descriptions are the experiments' descriptions.
//
//go:embed *.toml
var descriptions embed.FS

// suiteSettings are those of an experiment that evaluates variants of the pretrained model on tasks.
type suiteSettings struct {
	Paper  suitePart `json:"paper"`
	Strict suitePart `json:"strict"`

	Seed   uint64         `json:"variant_seed"` // of the calibration and the training data that variants are made with
	Making qat.Experiment `json:"making"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// suitePart is what one protocol evaluates.
type suitePart struct {
	Variants []string `json:"variants"`
	Tasks    []string `json:"tasks"`
	Contexts []int    `json:"contexts"` // tokens
	Samples  int      `json:"samples"`  // of each task at each context; of the mixture about twice as many
	Seed     uint64   `json:"seed"`     // of the samples
}

// suiteCell is what one accuracy is about.
type suiteCell struct {
	protocol string
	variant  string
	task     string
	context  int
}

func (c suiteCell) name() string {
	return fmt.Sprintf("%s/%s/%s/%d", c.protocol, c.variant, c.task, c.context)
}

// suiteRun is such an experiment under way.
type suiteRun struct {
	suiteSettings
	purpose tasks.Purpose
	job     *lab.Job
	work    string // folder of checkpoints
	base    *layers.Model
	done    *lab.Cells[result.Score]
}

// suiteRunner evaluates all variants on samples for the given purpose.
func suiteRunner(purpose tasks.Purpose) func(ctx context.Context, j *lab.Job, s suiteSettings) (*lab.Outcome, error) {
	return func(ctx context.Context, j *lab.Job, s suiteSettings) (*lab.Outcome, error) {
		base, err := measure.LoadBase(j.Model())
		if err != nil {
			return nil, err
		}
		r := &suiteRun{suiteSettings: s, purpose: purpose, job: j, base: base}
		return r.run(ctx)
	}
}

func (r *suiteRun) run(ctx context.Context) (*lab.Outcome, error) {
	if err := r.Validate(r.base.Config); err != nil {
		return nil, err
	}
	variants, err := qat.LookupVariants(r.variants()...)
	if err != nil {
		return nil, err
	}
	all := r.cells()
	if r.done, err = lab.NewCells[result.Score](r.job, len(all)); err != nil {
		return nil, err
	}
	r.done.Outcome = r.outcome
	if r.work, err = r.job.Work(); err != nil {
		return nil, err
	}
	for _, v := range variants {
		var own []suiteCell
		for _, c := range all {
			if _, ok := r.done.Done[c.name()]; c.variant == v.Name && !ok {
				own = append(own, c)
			}
		}
		if len(own) == 0 {
			continue
		}
		if err := r.evaluate(ctx, v, own); err != nil {
			return nil, err
		}
	}
	return r.done.Finish()
}

// parts are those that evaluate something, by protocol.
func (s suiteSettings) parts() map[string]suitePart {
	return map[string]suitePart{result.Paper: s.Paper, result.Strict: s.Strict}
}

// cells are all, those of the paper protocol first: packing a model for the strict one changes it.
func (r *suiteRun) cells() []suiteCell {
	var all []suiteCell
	for _, protocol := range []string{result.Paper, result.Strict} {
		p := r.parts()[protocol]
		for _, v := range p.Variants {
			for _, task := range p.Tasks {
				for _, t := range p.Contexts {
					all = append(all, suiteCell{protocol, v, task, t})
				}
			}
		}
	}
	return all
}

// samples are the same for all variants of a protocol. Those of the mixture are drawn apart from those of its tasks.
func (r *suiteRun) samples(c suiteCell) ([]tasks.Sample, error) {
	p, params := r.parts()[c.protocol], measure.TaskParams(r.base.Config, c.context)
	draw := tasks.Draw{Keys: r.SampleKeys, Seed: p.Seed}
	if c.task == measure.MixtureTask {
		return tasks.Mixture(2*p.Samples, params, draw.For(r.purpose, 2), nil)
	}
	return tasks.Generate(c.task, p.Samples, params, draw.For(r.purpose, 0))
}

// evaluate makes a variant and scores it. What the strict protocol evaluates is the packed bytes of what has any.
func (r *suiteRun) evaluate(ctx context.Context, v qat.Variant, own []suiteCell) error {
	session := qat.Session{Warn: func(line string) { r.job.Line("%s: %s", v.Name, line) }}
	if v.Trains {
		session.CheckpointPath, session.CheckpointEvery = filepath.Join(r.work, v.Name+".safetensors"), 50
		session.Report = func(s qat.Step) {
			if s.Step%20 == 0 || s.Step == r.Making.Finetune.Steps {
				r.job.Line("%s: step %d of %d, loss %.3f", v.Name, s.Step, r.Making.Finetune.Steps, s.Loss)
			}
		}
	}
	built, err := v.Build(ctx, r.base, r.Making, tasks.Draw{Keys: r.SampleKeys, Seed: r.Seed}, session)
	if err != nil {
		return err
	}
	model, packed := built.Model, false
	for _, c := range own {
		if c.protocol == result.Strict && built.Quantised != nil && !packed {
			if model, err = built.Quantised.PackedModel(); err != nil {
				return fmt.Errorf("variant %s: %w", v.Name, err)
			}
			packed = true
		}
		accuracy, err := r.done.Do(ctx, c.name(), func() (result.Score, error) {
			samples, err := r.samples(c)
			if err != nil {
				return result.Score{}, err
			}
			e, err := curriculum.EvaluateContext(ctx, model, samples, measure.EvalBatch)
			return result.NewScore(e), err
		})
		if err != nil {
			return err
		}
		r.job.Line("%s, %s, %s, %d tokens: %.3f of %d", c.protocol, c.variant, c.task, c.context, accuracy.Mean, accuracy.N)
	}
	return nil
}

func (r *suiteRun) outcome() (*lab.Outcome, error) {
	o := &lab.Outcome{}
	for _, p := range []suitePart{r.Paper, r.Strict} {
		if len(p.Variants) > 0 {
			o.Seeds = lab.AppendNew(o.Seeds, p.Seed)
		}
	}
	guessed := map[string]bool{}
	for _, c := range r.cells() {
		a, ok := r.done.Done[c.name()]
		if !ok {
			continue
		}
		l := c.labels()
		m := result.Share(l, c.protocol, "accuracy", a.Accuracy)
		if task, err := tasks.Lookup(c.task); err == nil && task.Unanswerable != "" {
			m.Note = "cannot be answered: " + task.Unanswerable
		}
		o.Measurements = append(o.Measurements, m)
		c.variant = result.Guessing
		if guessed[c.name()] {
			continue
		}
		guessed[c.name()] = true
		p, err := measure.Chance(r.base.Config, c.task, c.context)
		if err != nil {
			return nil, err
		}
		o.Measurements = append(o.Measurements, result.GuessingOf(l, c.protocol, a.N, p))
	}
	return o, r.compare(o)
}

// compare adds the difference of each variant to FP16 on the same samples, where outcomes are there.
func (r *suiteRun) compare(o *lab.Outcome) error {
	before := len(o.Measurements)
	for _, c := range r.cells() {
		base := c
		base.variant = qat.FP16
		a, first := r.done.Done[c.name()]
		b, second := r.done.Done[base.name()]
		if !first || !second || c == base {
			continue
		}
		m, ok, err := result.DifferenceOverSeeds(result.With(c.labels(), result.AgainstLabel, base.variant), c.protocol,
			[]result.Score{a}, []result.Score{b})
		if err != nil {
			return fmt.Errorf("%s: %w", c.name(), err)
		}
		if ok {
			o.Measurements = append(o.Measurements, m)
		}
	}
	if len(o.Measurements) > before {
		o.Notes = append(o.Notes, result.PairedNote)
	}
	return nil
}

func (c suiteCell) labels() result.Labels {
	return result.Labels{result.VariantLabel: c.variant, result.TaskLabel: c.task[strings.LastIndexByte(c.task, '/')+1:],
		result.ContextLabel: result.ContextOf(c.context)}
}
