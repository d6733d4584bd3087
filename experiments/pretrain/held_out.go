package pretrain

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
)

// heldOutSettings are those of the experiment on what pretrained models answer.
type heldOutSettings struct {
	Tasks    []string `json:"tasks"`
	Contexts []int    `json:"contexts"` // tokens
	Samples  []int    `json:"samples"`  // of each task, by context
	Seed     uint64   `json:"seed"`     // of the samples
	// Reference is the file of a model of another recipe to stand beside them, from the results folder; "": none. It has
	// the first ReferenceSamples of each task.
	Reference        string `json:"reference,omitempty"`
	ReferenceSamples int    `json:"reference_samples,omitempty"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// HeldOutExperiment says what the models of every seed of the pretraining answer, on samples on which nothing was
// chosen.
func HeldOutExperiment() lab.Experiment {
	return lab.Describe(descriptions, "held-out", heldOutSettings{}, runHeldOut)
}

// Validate names the first setting that cannot work with models of configuration m.
func (s heldOutSettings) Validate(m layers.Config) error {
	if err := cmp.Or(s.SampleKeys.Check(), bounds.AtLeast("samples", 1, s.Samples...), s.check(m)); err != nil {
		return err
	}
	if len(s.Samples) != len(s.Contexts) {
		return bounds.Wrong("samples", s.Samples, "give a number for each of the %d `contexts`", len(s.Contexts))
	}
	if s.Reference != "" && s.ReferenceSamples < 1 {
		return bounds.Wrong("reference", s.Reference, "reference_samples is %d: give at least 1, or no reference",
			s.ReferenceSamples)
	}
	return nil
}

// check names the first setting with which a model of configuration m cannot be tested.
func (s heldOutSettings) check(m layers.Config) error {
	return measure.CheckTests(tasks.Settings{Task: "tasks", Length: "contexts"}, m, s.Contexts, s.Tasks...)
}

// The rows besides the models of the seeds.
const (
	allSeeds        = "all seeds"
	publishedRecipe = "published recipe"
)

// heldOutModel is a model that is evaluated.
type heldOutModel struct {
	name, path string
	sha        string // SHA-256 of the file
	config     layers.Config
	reference  bool
}

// heldOutPart is a part of a task's samples that a model answers: a cell.
type heldOutPart struct {
	model    heldOutModel
	task     string
	context  int
	from, to int
}

func (p heldOutPart) name() string {
	return fmt.Sprintf("%s/%s/%d/%d", p.model.name, p.task, p.context, p.from)
}

// heldOutCell is what came out, with the outcome of every sample in their order.
type heldOutCell struct {
	result.Score
	Asked []int  `json:"asked"` // samples, by their class
	Right []int  `json:"right"` // of them, answered right
	Model string `json:"model_sha256"`
}

// heldOutTokens bounds the tokens of a part, so that one that is cut off costs minutes. Parts that are done are of this
// number: another one is another version of the protocol.
const heldOutTokens = 1 << 18

// parts lists all, in the order in which they are computed: whole tables of short contexts first.
func (s heldOutSettings) parts(models []heldOutModel) (all []heldOutPart) {
	for i, t := range s.Contexts {
		for _, m := range models {
			n, size := s.Samples[i], max(1, heldOutTokens/t)
			if m.reference {
				n = min(n, s.ReferenceSamples)
			}
			for _, task := range s.Tasks {
				for from := 0; from < n; from += size {
					all = append(all, heldOutPart{m, task, t, from, min(from+size, n)})
				}
			}
		}
	}
	return all
}

// heldOut is the experiment under way.
type heldOut struct {
	heldOutSettings
	seeds  []uint64
	models []heldOutModel
	done   *lab.Cells[heldOutCell]
}

// newHeldOut finds the models: those that the pretraining's result tells of, and the reference.
func newHeldOut(j *lab.Job, s heldOutSettings) (*heldOut, error) {
	pretrained, err := result.Read(j.File("pretrain", lab.PretrainFile))
	if err != nil {
		return nil, err
	}
	var trained Settings
	if err := json.Unmarshal(pretrained.Config, &trained); err != nil {
		return nil, fmt.Errorf("%s: config: %w", j.File("pretrain", lab.PretrainFile), err)
	}
	h := &heldOut{heldOutSettings: s, seeds: trained.seeds()}
	for i, seed := range h.seeds {
		path := j.Model()
		if i > 0 {
			path = j.File("pretrain", SeedFile(seed))
		}
		h.models = append(h.models, heldOutModel{name: fmt.Sprint("seed ", seed), path: path})
	}
	if s.Reference != "" {
		path := filepath.Join(j.Root, filepath.FromSlash(s.Reference))
		h.models = append(h.models, heldOutModel{name: publishedRecipe, path: path, reference: true})
	}
	for i := range h.models {
		m := &h.models[i]
		if m.sha, err = files.HashFile(m.path); err != nil && m.reference {
			return nil, bounds.Wrong("reference", s.Reference, "%s cannot be read (%v): give the path of a model from the "+
				"results folder, or \"\" to leave it out", m.path, files.Cause(err))
		} else if err != nil {
			return nil, err
		}
		if m.config, err = layers.ReadConfig(m.path); err != nil {
			return nil, err
		}
		if err := s.check(m.config); err != nil {
			return nil, fmt.Errorf("%s: %w", m.path, err)
		}
	}
	return h, s.Validate(h.models[0].config)
}

// answering is what one worker has: the model that it used last.
type answering struct {
	path  string
	model *layers.Model
}

// runHeldOut computes the parts that are missing, side by side.
func runHeldOut(ctx context.Context, j *lab.Job, s heldOutSettings) (*lab.Outcome, error) {
	h, err := newHeldOut(j, s)
	if err != nil {
		return nil, err
	}
	all := s.parts(h.models)
	if h.done, err = lab.NewCells[heldOutCell](j, len(all)); err != nil {
		return nil, err
	}
	h.done.Outcome = h.outcome
	var todo []heldOutPart
	for _, p := range all {
		cell, ok := h.done.Done[p.name()]
		if !ok {
			todo = append(todo, p)
		} else if cell.Model != p.model.sha {
			return nil, fmt.Errorf("%s holds answers of another %s: delete it to evaluate this one", j.Path, p.model.path)
		}
	}
	type answered struct {
		heldOutPart
		cell heldOutCell
	}
	begin := func() (*answering, func(), error) { return &answering{}, nil, nil }
	err = lab.Parallel(ctx, todo, begin, func(ctx context.Context, w *answering, p heldOutPart) (answered, error) {
		cell, err := h.answer(ctx, w, p)
		return answered{p, cell}, err
	}, func(a answered) error {
		j.Line("%s, %s, %d tokens, samples %d to %d: %.3f", a.model.name, a.task, a.context, a.from+1, a.to, a.cell.Mean)
		return h.done.Put(a.name(), a.cell)
	})
	if err != nil {
		return nil, err
	}
	return h.done.Finish()
}

// answer evaluates a model on a part.
func (h *heldOut) answer(ctx context.Context, w *answering, p heldOutPart) (heldOutCell, error) {
	if w.path != p.model.path {
		m, err := measure.LoadBase(p.model.path)
		if err != nil {
			return heldOutCell{}, err
		}
		w.path, w.model = p.model.path, m
	}
	sampler, err := tasks.NewSampler(p.task, measure.TaskParams(p.model.config, p.context),
		tasks.Draw{Keys: h.SampleKeys, Seed: h.Seed}.For(tasks.Acceptance, 0))
	if err != nil {
		return heldOutCell{}, err
	}
	for range p.from {
		if _, err := sampler.Next(); err != nil {
			return heldOutCell{}, err
		}
	}
	classes := p.model.config.NumClasses
	c := heldOutCell{Asked: make([]int, classes), Right: make([]int, classes), Model: p.model.sha}
	e, err := curriculum.EvaluateSamples(ctx, w.model, p.to-p.from, p.context, min(measure.EvalBatch, p.to-p.from),
		sampler.Next, func(a curriculum.Answer) {
			c.Asked[a.Label]++
			if a.Class == a.Label {
				c.Right[a.Label]++
			}
		})
	c.Score = result.NewScore(e)
	return c, err
}

// tested is what a model answered of some parts.
type tested struct {
	right, n    int
	asked, good []int // by class
}

// add adds a cell.
func (t *tested) add(c heldOutCell) {
	t.right, t.n = t.right+c.Correct, t.n+c.N
	if t.asked == nil {
		t.asked, t.good = make([]int, len(c.Asked)), make([]int, len(c.Asked))
	}
	for class := range min(len(t.asked), len(c.Asked)) {
		t.asked[class], t.good[class] = t.asked[class]+c.Asked[class], t.good[class]+c.Right[class]
	}
}

// lowest is the class that is answered worst, of those that were asked for.
func (t tested) lowest() (class int, a curriculum.Accuracy) {
	a.Mean = 2
	for i, n := range t.asked {
		if of := curriculum.NewAccuracy(t.good[i], n); n > 0 && of.Mean < a.Mean {
			class, a = i, of
		}
	}
	return class, a
}

// of is what a model answered of a task, of all for curriculum.Overall, at a context.
func (h *heldOut) of(m heldOutModel, task string, context int) (t tested) {
	for _, p := range h.parts([]heldOutModel{m}) {
		if c, ok := h.done.Done[p.name()]; ok && p.context == context && (p.task == task || task == curriculum.Overall) {
			t.add(c)
		}
	}
	return t
}

// outcome computes all measurements of the cells that are done.
func (h *heldOut) outcome() (*lab.Outcome, error) {
	o := &lab.Outcome{Seeds: h.seeds, Unpublished: true}
	for _, t := range h.Contexts {
		for _, task := range append([]string{curriculum.Overall}, h.Tasks...) {
			more, err := h.accuracies(task, t)
			if err != nil {
				return nil, err
			}
			o.Measurements = append(o.Measurements, more...)
		}
		o.Measurements = append(o.Measurements, h.classes(t)...)
	}
	return o, nil
}

// accuracies are those of each model on a task at a context, of all seeds, and of guessing.
func (h *heldOut) accuracies(task string, context int) (all []result.Measurement, err error) {
	l := result.Labels{result.TaskLabel: task, result.ContextLabel: result.ContextOf(context)}
	var seeds []curriculum.Accuracy
	for _, m := range h.models {
		of := h.of(m, task, context)
		if of.n == 0 {
			continue
		}
		a := curriculum.NewAccuracy(of.right, of.n)
		all = append(all, result.Share(result.With(l, result.ModelLabel, m.name), result.Strict, "accuracy", a))
		if !m.reference {
			seeds = append(seeds, a)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	if len(seeds) > 1 {
		of := result.With(l, result.ModelLabel, allSeeds)
		all = append(all, result.ShareOverSeeds(of, result.Strict, "accuracy", seeds))
	}
	names, chance := []string{task}, 0.
	if task == curriculum.Overall {
		names = h.Tasks
	}
	for _, name := range names {
		p, err := measure.Chance(h.models[0].config, name, context)
		if err != nil {
			return nil, err
		}
		chance += p / float64(len(names))
	}
	return append(all, result.Measurement{Labels: result.With(l, result.ModelLabel, result.Guessing),
		Protocol: result.Strict, Metric: "accuracy", Unit: "1", N: all[0].N, Mean: chance}), nil
}

// classes are the accuracy of each class over all seeds and tasks, and of each model that of its lowest.
func (h *heldOut) classes(context int) (all []result.Measurement) {
	at := result.Labels{result.ContextLabel: result.ContextOf(context)}
	lowest := func(name string, t tested) {
		if t.n == 0 {
			return
		}
		class, a := t.lowest()
		m := result.Share(result.With(at, result.ModelLabel, name), result.Strict, "lowest_class", a)
		asked := len(t.asked) - len(slices.DeleteFunc(slices.Clone(t.asked), func(n int) bool { return n > 0 }))
		m.Note = fmt.Sprintf("class %d of %d that were asked for", class, asked)
		all = append(all, m)
	}
	var seeds tested
	for _, m := range h.models {
		of := h.of(m, curriculum.Overall, context)
		lowest(m.name, of)
		if !m.reference && of.n > 0 {
			seeds.add(heldOutCell{Score: result.Score{Accuracy: curriculum.NewAccuracy(of.right, of.n)}, Asked: of.asked,
				Right: of.good})
		}
	}
	if len(h.seeds) > 1 {
		lowest(allSeeds, seeds)
	}
	for class, n := range seeds.asked {
		if n > 0 {
			all = append(all, result.Share(result.With(at, "class", fmt.Sprint(class)), result.Strict, "class_accuracy",
				curriculum.NewAccuracy(seeds.good[class], n)))
		}
	}
	return all
}
