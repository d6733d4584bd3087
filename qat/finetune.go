package qat

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// FinetuneConfig is a short training run from a pretrained model, through quantisers or, as the control, without.
type FinetuneConfig struct {
	Steps       int     `json:"steps" toml:"steps"`
	Context     int     `json:"context" toml:"context"` // tokens a sample
	Batch       int     `json:"batch" toml:"batch"`
	LR          float64 `json:"lr" toml:"lr"`           // of the weights
	StepLR      float64 `json:"step_lr" toml:"step_lr"` // of the log step sizes, which have no weight decay
	WeightDecay float64 `json:"weight_decay" toml:"weight_decay"`
	Beta1       float64 `json:"beta1" toml:"beta1"`
	Beta2       float64 `json:"beta2" toml:"beta2"`
	Clip        float64 `json:"clip" toml:"clip"`     // global gradient norm; 0: none
	Lambda      float64 `json:"lambda" toml:"lambda"` // weight of the step drift
	// ConstantLR keeps both rates as they are in place of the cosine.
	ConstantLR bool `json:"constant_lr,omitempty" toml:"constant_lr"`
	// Mixture are the tasks of the samples, with their shares; none: tasks.TrainingMixture.
	Mixture []tasks.Weight `json:"mixture,omitempty" toml:"mixture"`
}

// DefaultFinetune is the multi-seed experiment's (SPEC section 4).
func DefaultFinetune() FinetuneConfig {
	return FinetuneConfig{
		Steps: 200, Context: 1024, Batch: 4, LR: 1e-4, StepLR: 1e-2, WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.95, Clip: 1,
		Lambda: 1e-3,
	}
}

// spec is what the training graph is made for.
func (c FinetuneConfig) spec() layers.TrainSpec {
	return layers.TrainSpec{Batch: c.Batch, Tokens: c.Context, Questions: tasks.Questions(c.Mixture)}
}

// Validate names the first setting that cannot work for a model of configuration m on the mixture, its value and what
// is allowed.
func (c FinetuneConfig) Validate(m layers.Config) error {
	return cmp.Or(c.ValidateOnData(m), checkMixture("context", c.Context, m, c.Mixture))
}

// ValidateOnData is Validate for a training on Session.Data, which may have any context that the model can read.
func (c FinetuneConfig) ValidateOnData(m layers.Config) error {
	if err := m.CheckCausal(); err != nil { // whose setting is none of these
		return errors.New("the model's " + err.Error())
	}
	if m.LanguageModel() {
		return fmt.Errorf("num_classes is 0: the training is on classifications and needs a model with classes")
	}
	return cmp.Or(
		bounds.Check("steps", c.Steps, 1, 1<<24), m.CheckContexts("context", c.Context),
		bounds.Check("batch", c.Batch, 1, 1<<16),
		bounds.Check("lr", c.LR, 0, 10), bounds.Check("step_lr", c.StepLR, 0, 10),
		bounds.Check("weight_decay", c.WeightDecay, 0, 10), bounds.Decay("beta1", c.Beta1),
		bounds.Decay("beta2", c.Beta2), bounds.Check("clip", c.Clip, 0, math.MaxFloat64),
		bounds.Check("lambda", c.Lambda, 0, math.MaxFloat64),
	)
}

// checkMixture is an error, which names the setting, of a context in which there are no samples of a mixture, none for
// the training's, for a model of configuration m.
func checkMixture(setting string, context int, m layers.Config, mixture []tasks.Weight) error {
	err := m.CheckContexts(setting, context)
	names := tasks.Settings{Task: "mixture", Length: setting}
	if len(mixture) == 0 {
		mixture, names.Task = tasks.TrainingMixture(), ""
	} else if _, wrong := tasks.Counts(1, mixture); wrong != nil {
		err = cmp.Or(err, bounds.Wrong("mixture", mixture, "%v", wrong))
	}
	for _, w := range mixture {
		p := tasks.Params{Length: context, Vocab: m.VocabSize, Classes: m.NumClasses}
		err = cmp.Or(err, names.Check(w.Task, w.Params(p)), w.Check())
	}
	return err
}

// rate falls from lr as a cosine, or stays.
func (c FinetuneConfig) rate(lr float64) train.Schedule {
	if c.ConstantLR {
		return train.Constant(lr)
	}
	return train.Cosine(lr, c.Steps)
}

// Session is what a training run does beside training. The zero value does nothing.
type Session struct {
	Report func(Step)
	// Data, if set, are learnt from in place of the training mixture: samples of the configuration's context, each epoch
	// in another order. Such a run keeps no checkpoint.
	Data train.Dataset[tasks.Sample]
	// CheckpointPath is where the state is saved every CheckpointEvery steps (0: never) and when the run is interrupted,
	// with the history in a file beside it (package metrics). A run that finds its own checkpoint there continues from it.
	CheckpointPath  string
	CheckpointEvery int
	// Warn, if set, is told in a line what a run that continues does not have as it was: its kernels, its history.
	Warn func(line string)
}

// Training is what Finetune did.
type Training struct {
	Steps   []Step              // all of them, but for those of a history that was gone when the run continued
	Kernels graph.KernelHistory // that they were made on
}

// Finetune trains the model, or the quantised model if q is not nil (then m is q.Model), for c.Steps steps on the
// configuration's mixture or on s.Data. Loss = task + lambda · drift; the rate falls as a cosine per step to 0, unless
// it is constant. When ctx ends it returns an error that wraps train.ErrInterrupted.
func Finetune(ctx context.Context, m *layers.Model, q *Quantised, c FinetuneConfig, draw tasks.Draw,
	s Session) (Training, error) {
	if q != nil && q.Model != m {
		return Training{}, fmt.Errorf("fine-tuning: the quantisers are of another model")
	}
	if q == nil && prepared(m) {
		return Training{}, fmt.Errorf("fine-tuning: the model is quantised: give its quantisers too")
	}
	validate := c.Validate
	if s.Data != nil {
		validate = c.ValidateOnData
	}
	if err := validate(m.Config); err != nil {
		return Training{}, err
	}
	if s.Data != nil && len(c.Mixture) > 0 {
		return Training{}, bounds.Wrong("mixture", c.Mixture, "the samples are your own: leave it out")
	}
	if s.Data != nil && s.CheckpointPath != "" { // whose identity has nothing of the data
		return Training{}, fmt.Errorf("fine-tuning on data keeps no checkpoint: leave %s out", s.CheckpointPath)
	}
	f := &finetuning{config: c, draw: draw, data: s.Data, model: m, quantised: q, began: m.WeightsSHA256()}
	f.Loop = train.New[tasks.Sample, Step, struct{}](train.Form{Tensors: f.tensors, Position: f.position})
	f.Hooks.Step, f.CheckpointPath, f.CheckpointEvery = s.Report, s.CheckpointPath, s.CheckpointEvery
	f.Optimiser = newOptimiser(m, q, train.Recipe{Beta1: c.Beta1, Beta2: c.Beta2, Clip: c.Clip},
		train.Group{Name: "lr", Rate: c.rate(c.LR), WeightDecay: c.WeightDecay},
		train.Group{Name: "step_lr", Rate: c.rate(c.StepLR)})
	if err := f.resume(); err != nil {
		return Training{}, err
	}
	for _, line := range f.Warnings {
		if s.Warn != nil {
			s.Warn(line)
		}
	}
	err := f.Run(ctx, train.Phase[tasks.Sample, Step, struct{}]{To: c.Steps, Begin: f.begin})
	return Training{f.History.Steps, f.Kernels}, err
}

// finetuning is a run under way.
type finetuning struct {
	train.Loop[tasks.Sample, Step, struct{}]
	config    FinetuneConfig
	draw      tasks.Draw
	data      train.Dataset[tasks.Sample] // nil: the training mixture
	model     *layers.Model
	quantised *Quantised
	began     string // hash of the weights before the first step
}

func (f *finetuning) begin(context.Context) (*train.Program[tasks.Sample, Step, struct{}], error) {
	c := f.config
	samples, order, err := f.samples()
	if err != nil {
		return nil, err
	}
	var terms []layers.Term
	if f.quantised != nil {
		terms = f.quantised.Drift(c.Lambda)
	}
	p, err := newPass(f.model, f.quantised, c.spec(), terms...)
	if err != nil {
		return nil, err
	}
	perEpoch := train.StepsPerEpoch(samples.Len(), c.Batch)
	return &train.Program[tasks.Sample, Step, struct{}]{
		Data: samples, Order: order,
		Backward: p.Backward,
		Record: func(u train.Update, _ []tasks.Sample) Step {
			s := p.record(u)
			s.Epoch = (s.Step - 1) / perEpoch
			return s
		},
		Close: p.close,
	}, nil
}

// samples are those of the run in the order in which it takes them.
func (f *finetuning) samples() (train.Dataset[tasks.Sample], train.Order, error) {
	c, m := f.config, f.model.Config
	if f.data != nil {
		n := f.data.Len()
		return f.data, data.Shuffle{Seed: f.draw.Seed, Purpose: tasks.Finetuning}.Order(n, n, c.Batch), nil
	}
	source := f.draw.For(tasks.Finetuning, 0)
	params := tasks.Params{Length: c.Context, Vocab: m.VocabSize, Classes: m.NumClasses}
	mixture := c.Mixture
	if len(mixture) == 0 {
		mixture = tasks.TrainingMixture()
	}
	all, err := tasks.Mixture(c.Steps*c.Batch, params, source, mixture)
	return train.Samples[tasks.Sample](all), curriculum.Epochs(source, len(all), c.Batch), err
}

// finetunePosition says which run a checkpoint is of and where it stands.
type finetunePosition struct {
	Run     finetuneRun    `json:"run"`
	Updates map[string]int `json:"updates"`
	Done    int            `json:"done"` // steps
	// Metrics is where the history's file stood.
	Metrics *metrics.Mark       `json:"metrics,omitempty"`
	Kernels graph.KernelHistory `json:"kernels,omitempty"` // none in old checkpoints
	// Steps stand in old checkpoints, which have no file of them.
	Steps []Step `json:"steps,omitempty"`
}

// finetuneRun is everything that determines the run.
type finetuneRun struct {
	Config  FinetuneConfig `json:"config"`
	Seed    uint64         `json:"seed"`
	Keys    tasks.Keys     `json:"sample_keys,omitempty"` // 0 is 1, as in old checkpoints
	Options *Options       `json:"options"`               // nil without quantisers
	Weights string         `json:"weights_sha256"`        // those that it began with
}

func (f *finetuning) identity() finetuneRun {
	r := finetuneRun{Config: f.config, Seed: f.draw.Seed, Weights: f.began}
	if f.draw.Keys.Version() != tasks.Keys1 {
		r.Keys = f.draw.Keys
	}
	if f.quantised != nil {
		r.Options = &f.quantised.Options
	}
	return r
}

// tensors are those of the model and its quantisers.
func (f *finetuning) tensors() (*safetensors.File, error) { return fileOf(f.model, f.quantised) }

func (f *finetuning) position(p train.Position) any {
	return finetunePosition{Run: f.identity(), Updates: p.Updates, Done: p.Done, Metrics: p.Metrics, Kernels: p.Kernels}
}

// fileOf is the model in floating point, with its quantisers if it has any.
func fileOf(m *layers.Model, q *Quantised) (*safetensors.File, error) {
	if q != nil {
		return q.File()
	}
	return m.File()
}

// resume continues from the checkpoint, if there is one.
func (f *finetuning) resume() error {
	if f.CheckpointPath == "" {
		return nil
	}
	file, err := safetensors.Read(f.CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.restore(file); err != nil {
		return fmt.Errorf("%s: %w; delete it to begin anew", f.CheckpointPath, err)
	}
	return nil
}

func (f *finetuning) restore(file *safetensors.File) error {
	var p finetunePosition
	if err := json.Unmarshal([]byte(file.Metadata[train.Key]), &p); err != nil {
		return fmt.Errorf("the training position in the header is not valid: %w", foreign.JSON(err))
	}
	ours, err := json.Marshal(f.identity())
	if err != nil {
		return err
	}
	theirs, err := json.Marshal(p.Run)
	if err != nil {
		return err
	}
	if string(ours) != string(theirs) {
		return fmt.Errorf("it is the checkpoint of another run: %s, and this is %s", theirs, ours)
	}
	if p.Metrics == nil {
		p.Done = len(p.Steps)
	}
	if p.Done < 0 || p.Done > f.config.Steps {
		return fmt.Errorf("%d steps are done of %d", p.Done, f.config.Steps)
	}
	if f.quantised != nil {
		var h header
		if err := json.Unmarshal([]byte(file.Metadata[quantisedKey]), &h); err != nil {
			return fmt.Errorf("the quantisers in the header are not valid: %w", err)
		}
		if !sameColumns(h.Salient, f.quantised.salientColumns()) {
			return fmt.Errorf("its salient columns are others: it began from other calibration data")
		}
		if err := layers.SetParams(file, "", f.quantised.Params()); err != nil {
			return err
		}
	}
	if err := f.model.SetWeights(file, ""); err != nil {
		return err
	}
	if err := f.Optimiser.Restore(file, p.Updates, p.Done); err != nil {
		return err
	}
	f.History.Steps = p.Steps
	return f.Resume(f.CheckpointPath, train.Position{Done: p.Done, Metrics: p.Metrics, Kernels: p.Kernels})
}
