package curriculum

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// Trainer is a run under way: the loop of package train over the stages of a curriculum.
type Trainer struct {
	Config Config
	Model  *layers.Model
	// Classifier is the retention classifier that is trained along; nil: none.
	Classifier *baee.Classifier
	// Own are the samples of a run on data; Close frees them.
	Own *Own
	train.Loop[tasks.Sample, Step, EpochEvaluation]

	base    Base
	average *layers.Average // nil: none
	stages  []Stage
	steps   []int      // of an epoch of each stage
	early   []int      // the step that a stage ended with before its time; 0: it did not
	epoch   epochCount // of the present one

	learner *learner // of Classifier
}

// The forms of the loop's parts.
type (
	phase   = train.Phase[tasks.Sample, Step, EpochEvaluation]
	program = train.Program[tasks.Sample, Step, EpochEvaluation]
)

// Step tells of one optimiser step.
type Step struct {
	Step     int     `json:"step"` // from 1
	Stage    int     `json:"stage"`
	Context  int     `json:"context"`
	Loss     float64 `json:"loss"`     // cross-entropy of the batch, nats
	Accuracy float64 `json:"accuracy"` // of the epoch's batches so far, on training data
	LR       float64 `json:"lr"`
	GradNorm float64 `json:"grad_norm"` // before clipping
	// Classifier is the cross-entropy of the retention classifier, nats, if one learnt from the step.
	Classifier float64 `json:"classifier,omitempty"`

	Tokens   int           `json:"-"` // in the batch
	Duration time.Duration `json:"-"`
}

// EpochEvaluation is an evaluation at the end of an epoch.
type EpochEvaluation struct {
	Step    int `json:"step"`
	Stage   int `json:"stage"`
	Context int `json:"context"`
	Epoch   int `json:"epoch"` // within the stage, from 0
	Evaluation
}

// History is what a run tells of itself.
type History = train.History[Step, EpochEvaluation]

// epochCount counts the answers of an epoch's training batches.
type epochCount struct{ Correct, Total int }

// New prepares a run from its beginning. One on data, or from a model with quantisers, needs NewOn.
func New(c Config) (*Trainer, error) { return NewOn(context.Background(), c, FloatBase, "", nil) }

// NewOn is New of a run that may be on data, which are made ready in a store in dir, beside where its checkpoint will
// be. read makes the model that the run begins from, if it begins from one.
func NewOn(ctx context.Context, c Config, read ReadBase, dir string,
	progress func(data.Progress)) (t *Trainer, err error) {
	if c.Data != nil && dir == "" {
		return nil, errors.New("a run on data needs a folder for them: see NewOn")
	}
	if err := c.ValidateUnread(); err != nil {
		return nil, err
	}
	var base Base
	if c.InitFrom != "" {
		if c, base, err = c.readBase(read); err != nil {
			return nil, err
		}
	}
	var own *Own
	if c.Data != nil {
		if c, own, err = c.readyData(ctx, DataFolder(dir), nil, base.extra(), progress); err != nil {
			return nil, errors.Join(err, data.Remove(DataFolder(dir)))
		}
	}
	if base.Model == nil {
		if base.Model, err = layers.NewModel(c.Model, c.Seed); err == nil {
			base.Model.Initialise(c.Init)
		}
	}
	if err == nil {
		t, err = newTrainer(c, base, own)
	}
	if err != nil && own != nil {
		err = errors.Join(err, own.Set.Close())
	}
	return t, err
}

func newTrainer(c Config, base Base, own *Own) (*Trainer, error) {
	if own != nil {
		base.Model.Extra = own.Extra
	}
	total, err := c.TotalSteps()
	if err != nil {
		return nil, err
	}
	t := &Trainer{Config: c, Model: base.Model, Own: own, base: base, stages: c.Stages()}
	for _, s := range t.stages {
		n, err := s.StepsPerEpoch()
		if err != nil {
			return nil, err
		}
		t.steps = append(t.steps, n)
	}
	t.early = make([]int, len(t.stages))
	t.Loop = train.New[tasks.Sample, Step, EpochEvaluation](train.Form{
		Epochs: t.epochs, Tensors: t.tensors, Position: t.position,
	})
	t.CheckpointEvery = 100
	rate := t.rate(total)
	t.Optimiser = c.optimiser(base, rate)
	if c.Average > 0 {
		t.average = layers.NewAverage(c.Average, t.Optimiser.Params())
	}
	if c.Classifier {
		if t.learner, err = newLearner(c, rate); err != nil {
			return nil, err
		}
		t.Classifier = t.learner.classifier
	}
	return t, nil
}

// tensors are those of a checkpoint, but for the moments of the model.
func (t *Trainer) tensors() (*safetensors.File, error) {
	f, err := t.base.file()
	if err == nil && t.average != nil {
		err = t.average.AddTo(f)
	}
	if err == nil && t.learner != nil {
		err = t.learner.save(f)
	}
	return f, err
}

// Averaged calls f while the model has the average of its weights, if the run keeps one.
func (t *Trainer) Averaged(f func() error) error {
	if t.average == nil {
		return f()
	}
	t.average.Swap()
	defer t.average.Swap()
	return f()
}

// rate is the schedule of a run of so many steps at most, by the factors of its stages.
func (t *Trainer) rate(total int) train.Schedule {
	s := t.Config.scheduleUntil(total, t.end)
	if !slices.ContainsFunc(t.stages, func(s Stage) bool { return s.LRFactor > 0 }) {
		return s
	}
	return s.TimesEach(func(step int) float64 {
		for i, s := range t.stages {
			if _, to := t.span(i); step < to {
				return cmp.Or(s.LRFactor, 1)
			}
		}
		return 1
	})
}

// end is the step that the run ends with, as far as is known.
func (t *Trainer) end() int {
	_, to := t.span(len(t.stages) - 1)
	return to
}

// optimiser trains all of a base.
func (c Config) optimiser(base Base, rate train.Schedule) *train.Optimiser {
	groups := []train.Group{{Name: "lr", Rate: rate, WeightDecay: c.WeightDecay, Params: base.Model.Params.All()}}
	if q := base.Quantisers; q != nil {
		groups[0].Params = q.Others
		groups = append(groups, train.Group{Rate: rate, Params: q.Steps})
	}
	return train.NewOptimiser(train.Recipe{Beta1: c.Beta1, Beta2: c.Beta2, Clip: c.Clip}, groups...)
}

// Quantised says whether the model is trained through quantisers.
func (t *Trainer) Quantised() bool { return t.base.Quantisers != nil }

// SaveModel writes the model, with its quantisers if it has any, to path.
func (t *Trainer) SaveModel(path string) error {
	return t.Averaged(func() error {
		f, err := t.base.file()
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", path, err)
		}
		return safetensors.Write(path, f)
	})
}

// gcPercent is how much garbage the heap may hold in a run, in percent of what is in use. That is hundreds of megabytes
// of planned memory and weights; with Go's 100 the process would slowly grow to twice its size. Collecting is cheap
// here, since the large pieces hold no pointers.
const gcPercent = 5

// Run trains to the end, from wherever the trainer stands. When ctx ends it saves a checkpoint after the current step;
// an evaluation under way is given up and made when the run continues.
func (t *Trainer) Run(ctx context.Context) error {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	for i := range t.stages {
		from, to := t.span(i)
		begin := func(context.Context) (*program, error) { return t.begin(i, from) }
		if err := t.Loop.Run(ctx, phase{To: to, Begin: begin}); err != nil {
			return err
		}
	}
	return nil
}

// span is the step that stage i begins with and the one that it ends with, as far as is known.
func (t *Trainer) span(i int) (from, to int) {
	for k, s := range t.stages[:i+1] {
		from, to = to, to+t.steps[k]*s.Epochs
		if t.early[k] > 0 {
			to = t.early[k]
		}
	}
	return from, to
}

// StageSteps is how many steps each stage has: as many as it took, if it ended by accuracy, and at most otherwise.
func (t *Trainer) StageSteps() []int {
	var all []int
	for i := range t.stages {
		from, to := t.span(i)
		all = append(all, to-from)
	}
	return all
}

// epochs is the number of epochs that have ended after so many steps.
func (t *Trainer) epochs(done int) (n int) {
	for i := range t.stages {
		from, to := t.span(i)
		n += max(0, min(done, to)-from) / t.steps[i]
	}
	return n
}

// begin makes the program of a stage, which begins with the given step.
func (t *Trainer) begin(stage, from int) (*program, error) {
	s := t.stages[stage]
	data, order, evaluate, err := t.samples(stage)
	if err != nil {
		return nil, err
	}
	until, err := s.goal()
	if err != nil {
		return nil, err
	}
	own := &lane{stage: s, source: t.source(stage), data: data, order: order}
	all, err := t.lanes(stage, own)
	if err != nil {
		return nil, err
	}
	return &program{
		From: from, Data: all, Order: all.order,
		Backward: func(samples []tasks.Sample) (float64, []gorgonia.ValueGrad, error) {
			return all.at(t.Done()-from).backward(samples, t.Done(), t.Config.Model)
		},
		Record: func(u train.Update, batch []tasks.Sample) Step {
			if t.average != nil {
				t.average.Update()
			}
			l := all.at(u.Step - 1 - from)
			t.count((u.Step-1-from)%t.steps[stage] == 0, batch, l.graph.Logits(), l.spec)
			return Step{
				Step: u.Step, Stage: stage, Context: l.stage.Context, Loss: u.Loss, LR: u.Rates[0], GradNorm: u.GradNorm,
				Accuracy:   float64(t.epoch.Correct) / float64(t.epoch.Total),
				Classifier: l.reads.last(), Tokens: len(batch) * l.stage.Context, Duration: u.Duration,
			}
		},
		Evaluate: func(ctx context.Context) (EpochEvaluation, error) {
			var e Scored
			err := t.Averaged(func() (err error) {
				e, err = evaluate(ctx)
				return err
			})
			return EpochEvaluation{t.Done(), stage, s.Context, t.Evaluated() - t.epochs(from), e.Evaluation}, err
		},
		Ends: func(e EpochEvaluation) bool {
			if until.reached(e.Evaluation) {
				t.early[stage] = e.Step
				return true
			}
			return false
		},
		Close: func() {
			all.close()
			debug.FreeOSMemory() // the next stage plans its own memory: do not hold both
		},
	}, nil
}

// source is that of what a stage draws for its training.
func (t *Trainer) source(stage int) tasks.Source { return t.Config.draw().For(tasks.Training, stage) }

// samples are those that a stage learns from, in the order of its steps, and the evaluation after each of its epochs.
func (t *Trainer) samples(stage int) (train.Dataset[tasks.Sample], train.Order,
	func(ctx context.Context) (Scored, error), error) {
	c, s := t.Config, t.stages[stage]
	if t.Own != nil {
		learnt, order, err := s.ownTraining(t.Own, c.Seed, stage)
		if err != nil {
			return nil, nil, nil, err
		}
		asked, err := t.Own.Set.Eval(s.Context)
		return learnt, order, func(ctx context.Context) (Scored, error) {
			n, next := held(asked, c.EvalSamples)
			return EvaluateSamples(ctx, t.Model, n, s.Context, s.BatchSize, next, nil)
		}, err
	}
	learnt, order, err := s.training(c.params(s.Context), t.source(stage))
	if err != nil {
		return nil, nil, nil, err
	}
	asked, err := tasks.Mixture(c.EvalSamples, c.params(s.Context), c.draw().For(tasks.HeldOut, stage), s.tested())
	return learnt, order, func(ctx context.Context) (Scored, error) {
		return EvaluateChunks(ctx, t.Model, asked, s.Chunks, s.BatchSize)
	}, err
}

// Close frees the run's own samples.
func (t *Trainer) Close() error {
	if t.Own == nil {
		return nil
	}
	return t.Own.Set.Close()
}

// count takes the answers of a step into the epoch's, of which it may be the first.
func (t *Trainer) count(first bool, batch []tasks.Sample, logits []float32, spec layers.TrainSpec) {
	if first {
		t.epoch = epochCount{}
	}
	n := len(logits) / spec.Batch // of all questions
	for i, s := range batch {
		t.epoch.Total++
		// The last question stands first.
		if Argmax(logits[i*n:i*n+t.Model.Outputs()]) == int(s.Label) {
			t.epoch.Correct++
		}
	}
}

// Epochs is the order in which epochs take n samples of a source.
func Epochs(source tasks.Source, n, batch int) train.Order {
	return train.Shuffled(n, batch, func(epoch int) []int { return source.Order(n, epoch) })
}

// Backward computes the loss and the gradients of up to spec.Batch samples with a training graph that was made on spec,
// which has no positions or chunks of its own.
func Backward(g *layers.Trainer, spec layers.TrainSpec) func(samples []tasks.Sample) (
	float64, []gorgonia.ValueGrad, error) {
	return func(samples []tasks.Sample) (float64, []gorgonia.ValueGrad, error) {
		return backward(g, collate(samples, spec))
	}
}

func backward(g *layers.Trainer, b layers.Batch) (float64, []gorgonia.ValueGrad, error) {
	loss, err := g.RunBatch(b)
	if err != nil {
		return 0, nil, err
	}
	return float64(loss), g.Program.Gradients(), nil
}

// collate lays out samples for a training graph, but for positions and what is kept of chunks. The question that a
// sample ends with is its first, the others are those of its last chunk; those that it does not have are not counted.
func collate(samples []tasks.Sample, spec layers.TrainSpec) layers.Batch {
	ids, labels := Collate(samples, spec.Batch)
	if spec.Questions == 0 {
		return layers.Batch{IDs: ids, Labels: labels}
	}
	b := layers.Batch{IDs: ids}
	first := spec.Tokens - spec.Tokens/max(1, spec.Chunks) // token of the last chunk
	for i, last := range labels {
		asked := []tasks.Question{{At: spec.Tokens - 1, Label: last}}
		if i < len(samples) {
			for _, q := range samples[i].Asked {
				if q.At >= first {
					asked = append(asked, q)
				}
			}
		}
		for len(asked) < spec.Questions {
			asked = append(asked, tasks.Question{At: spec.Tokens - 1, Label: graph.Ignore})
		}
		for _, q := range asked {
			b.Asked, b.Labels = append(b.Asked, int32(q.At-first)), append(b.Labels, q.Label)
		}
	}
	return b
}

// Collate lays out samples for a program of the given batch size: ids [B, T] and labels [B]. Rows beyond the samples
// repeat the first one and are not counted.
func Collate(samples []tasks.Sample, batch int) (ids, labels []int32) {
	for i := range batch {
		s, label := samples[0], int32(graph.Ignore)
		if i < len(samples) {
			s, label = samples[i], samples[i].Label
		}
		ids, labels = append(ids, s.IDs...), append(labels, label)
	}
	return ids, labels
}
