package qat

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// PhaseConfig is one phase of ThreePhase.
type PhaseConfig struct {
	Epochs int     `json:"epochs" toml:"epochs"`
	LR     float64 `json:"lr" toml:"lr"` // falls as a cosine per epoch to 0
}

// ThreePhaseConfig is everything that determines a three-phase run, but for the model that it begins with.
type ThreePhaseConfig struct {
	Model       layers.Config `json:"model" toml:"model"`
	Context     int           `json:"context" toml:"context"` // tokens a sample
	Samples     int           `json:"samples" toml:"samples"` // of the training mixture, asked for; see tasks.Counts
	BatchSize   int           `json:"batch_size" toml:"batch_size"`
	EvalSamples int           `json:"eval_samples" toml:"eval_samples"`
	Seed        uint64        `json:"seed" toml:"seed"` // initial weights, data and their order
	// SampleKeys is the version of the keys of the samples' streams; 0 is 1, as of runs from before there were versions.
	SampleKeys tasks.Keys `json:"sample_keys,omitempty" toml:"sample_keys"`

	Warmup   PhaseConfig `json:"warmup" toml:"warmup"` // in floating point
	QAT      PhaseConfig `json:"qat" toml:"qat"`
	Cooldown PhaseConfig `json:"cooldown" toml:"cooldown"`

	StepLRRatio float64 `json:"step_lr_ratio" toml:"step_lr_ratio"` // rate of the log step sizes over that of the weights
	WeightDecay float64 `json:"weight_decay" toml:"weight_decay"`   // not on step sizes
	Beta1       float64 `json:"beta1" toml:"beta1"`
	Beta2       float64 `json:"beta2" toml:"beta2"`
	Clip        float64 `json:"clip" toml:"clip"`               // global gradient norm; 0: none
	LambdaQAT   float64 `json:"lambda_qat" toml:"lambda_qat"`   // weight of the step drift
	LambdaBAEE  float64 `json:"lambda_baee" toml:"lambda_baee"` // weight of the Auxiliary loss that was joined

	CalibrationBatches int     `json:"calibration_batches" toml:"calibration_batches"`
	Quantisation       Options `json:"quantisation" toml:"quantisation"`
}

// DefaultThreePhase is the reference's trainer on the reference model (SPEC section 4).
func DefaultThreePhase() ThreePhaseConfig {
	c := ThreePhaseConfig{
		Model: layers.Reference(), Context: 1024, Samples: 2048, BatchSize: 4, EvalSamples: 256, Seed: 42,
		SampleKeys: tasks.CurrentKeys,
		Warmup:     PhaseConfig{3, 1e-3}, QAT: PhaseConfig{10, 5e-4}, Cooldown: PhaseConfig{2, 1e-4},
		StepLRRatio: 1, WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.999, Clip: 1, LambdaQAT: 1e-4, LambdaBAEE: 0.1,
		CalibrationBatches: 32, Quantisation: DefaultOptions(),
	}
	c.Quantisation.GroupSize = 128
	return c
}

// Validate names the first setting that cannot work, its value and what is allowed.
func (c ThreePhaseConfig) Validate() error {
	if err := bounds.In("model", cmp.Or(c.Model.Validate(), c.Model.Architecture.CheckSynapNet(),
		c.Model.CheckCausal())); err != nil {
		return err
	}
	if c.Model.LanguageModel() {
		return fmt.Errorf("num_classes is 0: the training tasks are classifications and need at least 2 classes")
	}
	if err := cmp.Or(
		checkMixture("context", c.Context, c.Model, nil), bounds.Check("samples", c.Samples, 1, 1<<24),
		bounds.Check("batch_size", c.BatchSize, 1, 1<<16), bounds.Check("eval_samples", c.EvalSamples, 1, 1<<24),
		bounds.Check("warmup.epochs", c.Warmup.Epochs, 0, 1<<20), bounds.Check("qat.epochs", c.QAT.Epochs, 1, 1<<20),
		bounds.Check("cooldown.epochs", c.Cooldown.Epochs, 0, 1<<20),
		bounds.Check("calibration_batches", c.CalibrationBatches, 1, 1<<20),
	); err != nil {
		return err
	}
	if err := cmp.Or(
		bounds.Check("warmup.lr", c.Warmup.LR, 0, 10), bounds.Check("qat.lr", c.QAT.LR, 0, 10),
		bounds.Check("cooldown.lr", c.Cooldown.LR, 0, 10), bounds.Check("step_lr_ratio", c.StepLRRatio, 0, 1e6),
		bounds.Check("weight_decay", c.WeightDecay, 0, 10), bounds.Decay("beta1", c.Beta1),
		bounds.Decay("beta2", c.Beta2), bounds.Check("clip", c.Clip, 0, math.MaxFloat64),
		bounds.Check("lambda_qat", c.LambdaQAT, 0, math.MaxFloat64),
		bounds.Check("lambda_baee", c.LambdaBAEE, 0, math.MaxFloat64),
	); err != nil {
		return err
	}
	if err := c.SampleKeys.Check(); err != nil {
		return err
	}
	return bounds.In("quantisation", c.Quantisation.Validate(c.Model))
}

// draw is the seed of all samples.
func (c ThreePhaseConfig) draw() tasks.Draw { return tasks.Draw{Keys: c.SampleKeys, Seed: c.Seed} }

// params are the dimensions of the tasks.
func (c ThreePhaseConfig) params() tasks.Params {
	return tasks.Params{Length: c.Context, Vocab: c.Model.VocabSize, Classes: c.Model.NumClasses}
}

// TotalSteps is the number of optimiser steps of the run.
func (c ThreePhaseConfig) TotalSteps() (int, error) {
	counts, err := tasks.Counts(c.Samples, tasks.TrainingMixture())
	n := 0
	for _, k := range counts {
		n += k
	}
	return (c.Warmup.Epochs + c.QAT.Epochs + c.Cooldown.Epochs) * train.StepsPerEpoch(n, c.BatchSize), err
}

// phase is a PhaseConfig with its name and place.
type phase struct {
	PhaseConfig
	name      string
	first     int // epoch
	quantised bool
}

func (c ThreePhaseConfig) phases() []phase {
	return []phase{
		{c.Warmup, "warmup", 0, false},
		{c.QAT, "qat", c.Warmup.Epochs, true},
		{c.Cooldown, "cooldown", c.Warmup.Epochs + c.QAT.Epochs, true},
	}
}

// Epoch is the end of an epoch.
type Epoch struct {
	Phase string  `json:"phase"`
	Epoch int     `json:"epoch"` // of the run, from 0
	Loss  float64 `json:"loss"`  // mean of the epoch's batches
	// Auxiliary is the mean auxiliary loss without its weight; 0 where there is none.
	Auxiliary float64               `json:"auxiliary,omitempty"`
	LR        float64               `json:"lr"`
	Steps     StepStats             `json:"steps"` // of the quantisers
	Accuracy  curriculum.Evaluation `json:"accuracy"`
}

// ThreePhase is a run of the three-phase trainer (SPEC section 4): warm-up in floating point, calibration and
// quantisation, QAT, cooldown at a lower rate. Each phase has an optimiser of its own.
type ThreePhase struct {
	Config    ThreePhaseConfig
	Model     *layers.Model
	Quantised *Quantised // nil until the warm-up is over
	train.Loop[tasks.Sample, Step, Epoch]

	auxiliary *Auxiliary
	resumed   *safetensors.File // what the run was resumed from, until its optimiser is restored
	updates   map[string]int    // of the optimiser in it
	source    tasks.Source      // of the samples and their order
	samples   []tasks.Sample
	held      []tasks.Sample
	perEpoch  int  // steps
	mean      mean // of the present epoch
}

// mean sums up the steps of an epoch.
type mean struct {
	Loss      float64 `json:"loss"`
	Auxiliary float64 `json:"auxiliary"`
}

// Auxiliary is a network of its own that is trained along with the model in the quantised phases: the retention
// classifier of an episodic memory. What is minimised is task + LambdaQAT · drift + LambdaBAEE · Loss.
type Auxiliary struct {
	// Params are its parameters, a group of the optimiser with the rate and the decay of the model's weights. Their names
	// must differ from the model's. Checkpoints hold them.
	Params []*graph.Param
	// Loss is the loss of a batch, [1], without its weight.
	Loss layers.Term
}

// NewThreePhase prepares a run. It begins with a copy of base, or with initial weights if base is nil.
func NewThreePhase(c ThreePhaseConfig, base *layers.Model) (*ThreePhase, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	t, err := newThreePhase(c)
	if err != nil {
		return nil, err
	}
	switch {
	case base == nil:
		t.Model, err = layers.NewModel(c.Model, c.Seed)
	case !base.Config.Equal(c.Model):
		return nil, fmt.Errorf("the model to begin with is not that of the settings: it has %s; give its settings in "+
			"[model], or another model", base.Config.Difference(c.Model))
	case prepared(base):
		return nil, fmt.Errorf("the model to begin with is quantised already: give a floating-point checkpoint")
	default:
		t.Model, err = base.Clone()
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// newThreePhase is a run without a model.
func newThreePhase(c ThreePhaseConfig) (*ThreePhase, error) {
	t := &ThreePhase{Config: c, source: c.draw().For(tasks.ThreePhase, 0)}
	var err error
	if t.samples, err = tasks.Mixture(c.Samples, c.params(), t.source, nil); err != nil {
		return nil, err
	}
	if t.held, err = tasks.Mixture(c.EvalSamples, c.params(), c.draw().For(tasks.HeldOut, 0), nil); err != nil {
		return nil, err
	}
	t.perEpoch = train.StepsPerEpoch(len(t.samples), c.BatchSize)
	t.Loop = train.New[tasks.Sample, Step, Epoch](train.Form{
		Epochs: train.Every(t.perEpoch), Tensors: t.tensors, Position: t.position,
	})
	return t, nil
}

// Join trains a along in the quantised phases with the weight LambdaBAEE. It comes before Run; in a run that was
// resumed from a checkpoint with auxiliary parameters it sets those of a to them.
func (t *ThreePhase) Join(a *Auxiliary) error {
	for _, p := range a.Params {
		if _, taken := t.Model.Params.ByName(p.Name); taken {
			return fmt.Errorf("auxiliary loss: the parameter %s has the name of one of the model's", p.Name)
		}
	}
	if t.resumed != nil {
		if err := layers.SetParams(t.resumed, auxiliaryPrefix, a.Params); err != nil {
			return fmt.Errorf("%s: the auxiliary loss is not that of the checkpoint: %w", t.CheckpointPath, err)
		}
	}
	t.auxiliary = a
	return nil
}

// auxiliaryPrefix starts the names of auxiliary parameters in a checkpoint.
const auxiliaryPrefix = layers.OptimiserPrefix + "auxiliary."

// restore makes the optimiser that the run stands with, in the state that it has in the checkpoint, if there is one.
func (t *ThreePhase) restore() error {
	f := t.resumed
	if f == nil {
		if t.Optimiser == nil {
			t.Optimiser = t.newOptimiser(t.present())
		}
		return nil
	}
	if t.auxiliary == nil && slices.ContainsFunc(f.Names(),
		func(name string) bool { return strings.HasPrefix(name, auxiliaryPrefix) }) {
		return fmt.Errorf("%s: the run trains an auxiliary loss along: join it before the run continues", t.CheckpointPath)
	}
	t.resumed, t.Optimiser = nil, t.newOptimiser(t.present())
	if err := t.Optimiser.Restore(f, t.updates, t.Done()); err != nil {
		return fmt.Errorf("%s: %w", t.CheckpointPath, err)
	}
	return nil
}

// present is the phase of the last step.
func (t *ThreePhase) present() phase {
	all := t.Config.phases()
	for _, p := range slices.Backward(all) {
		if t.Done() > p.first*t.perEpoch {
			return p
		}
	}
	return all[0]
}

// TotalSteps is the number of optimiser steps of the run.
func (t *ThreePhase) TotalSteps() int {
	c := t.Config
	return (c.Warmup.Epochs + c.QAT.Epochs + c.Cooldown.Epochs) * t.perEpoch
}

// Run trains to the end from wherever the run stands. When ctx ends it saves a checkpoint after the current step and
// returns an error that wraps train.ErrInterrupted. A calibration or an evaluation under way is given up and made when
// the run continues.
func (t *ThreePhase) Run(ctx context.Context) error {
	if err := t.restore(); err != nil {
		return err
	}
	if t.Done() == 0 { // killed before its first step that counts, it would else leave a history that goes with nothing
		if err := t.Save(); err != nil {
			return err
		}
	}
	var phases []train.Phase[tasks.Sample, Step, Epoch]
	for _, p := range t.Config.phases() {
		phases = append(phases, train.Phase[tasks.Sample, Step, Epoch]{
			To:    (p.first + p.Epochs) * t.perEpoch,
			Begin: func(ctx context.Context) (*train.Program[tasks.Sample, Step, Epoch], error) { return t.begin(ctx, p) },
		})
	}
	return t.Loop.Run(ctx, phases...)
}

// begin makes what computes a phase, from its beginning or from within.
func (t *ThreePhase) begin(ctx context.Context, p phase) (*train.Program[tasks.Sample, Step, Epoch], error) {
	if p.quantised && t.Quantised == nil {
		if err := t.prepare(ctx); err != nil {
			return nil, err
		}
	}
	from := p.first * t.perEpoch
	if t.Done() == from { // each phase has an optimiser of its own
		t.Optimiser = t.newOptimiser(p)
	}
	g, err := newPass(t.Model, t.Quantised,
		layers.TrainSpec{Batch: t.Config.BatchSize, Tokens: t.Config.Context}, t.terms()...)
	if err != nil {
		return nil, err
	}
	// The epochs of the run take the samples in turn, whatever the phase.
	order := curriculum.Epochs(t.source, len(t.samples), t.Config.BatchSize)
	return &train.Program[tasks.Sample, Step, Epoch]{
		Data: train.Samples[tasks.Sample](t.samples), Order: order, Backward: g.Backward,
		Record: func(u train.Update, _ []tasks.Sample) Step {
			s := g.record(u)
			s.Phase, s.Epoch = p.name, (s.Step-1)/t.perEpoch
			if terms := g.graph.Terms(); t.trainsAuxiliary() {
				s.Auxiliary = float64(terms[len(terms)-1]) / t.Config.LambdaBAEE
			}
			t.count(s)
			return s
		},
		Evaluate: func(ctx context.Context) (Epoch, error) { return t.evaluate(ctx, p) },
		Close:    g.close,
	}, nil
}

func (t *ThreePhase) newOptimiser(p phase) *train.Optimiser {
	c := t.Config
	var auxiliary []*graph.Param
	if t.auxiliary != nil && t.Quantised != nil {
		auxiliary = t.auxiliary.Params
	}
	rate := t.rate(p)
	return newOptimiser(t.Model, t.Quantised, train.Recipe{Beta1: c.Beta1, Beta2: c.Beta2, Clip: c.Clip},
		train.Group{Name: p.name + ".lr", Rate: rate, WeightDecay: c.WeightDecay},
		train.Group{Rate: rate.Times(c.StepLRRatio)},
		auxiliary...)
}

// rate is a phase's learning rate: a cosine by the epoch.
func (t *ThreePhase) rate(p phase) train.Schedule {
	return train.Cosine(p.LR, p.Epochs).PerEpoch(t.perEpoch).From(p.first * t.perEpoch)
}

// terms are the further terms of the loss of the present phase.
func (t *ThreePhase) terms() []layers.Term {
	if t.Quantised == nil {
		return nil
	}
	terms := t.Quantised.Drift(t.Config.LambdaQAT)
	if t.trainsAuxiliary() {
		terms = append(terms, func(g *graph.Graph, out layers.Output) *graph.Node {
			return weighted(g, float32(t.Config.LambdaBAEE), t.auxiliary.Loss(g, out))
		})
	}
	return terms
}

// trainsAuxiliary says whether the last term of the present phase is the auxiliary loss.
func (t *ThreePhase) trainsAuxiliary() bool {
	return t.Quantised != nil && t.auxiliary != nil && t.Config.LambdaBAEE > 0
}

// prepare calibrates the model and quantises it.
func (t *ThreePhase) prepare(ctx context.Context) error {
	c := t.Config
	calibration, err := CalibrateOnMixture(ctx, t.Model, c.CalibrationBatches, c.BatchSize, c.Context,
		c.draw().For(tasks.Calibration, 0))
	if err != nil {
		return err
	}
	t.Quantised, err = Prepare(t.Model, calibration, c.Quantisation)
	return err
}

// count takes a step into the mean of its epoch.
func (t *ThreePhase) count(s Step) {
	if (s.Step-1)%t.perEpoch == 0 {
		t.mean = mean{}
	}
	t.mean.Loss += s.Loss / float64(t.perEpoch)
	t.mean.Auxiliary += s.Auxiliary / float64(t.perEpoch)
}

// evaluate ends an epoch.
func (t *ThreePhase) evaluate(ctx context.Context, p phase) (Epoch, error) {
	accuracy, err := curriculum.EvaluateContext(ctx, t.Model, t.held, t.Config.BatchSize)
	e := Epoch{
		Phase: p.name, Epoch: t.Evaluated(), Loss: t.mean.Loss, Auxiliary: t.mean.Auxiliary, LR: t.rate(p).At(t.Done() - 1),
		Steps: StepStats{Least: 1, Most: 1}, Accuracy: accuracy.Evaluation,
	}
	if t.Quantised != nil {
		e.Steps = t.Quantised.Steps()
	}
	return e, err
}

// threePhasePosition is the part of a checkpoint that is not tensors.
type threePhasePosition struct {
	Config  ThreePhaseConfig `json:"config"`
	Updates map[string]int   `json:"updates"`
	Done    int              `json:"done"`       // steps
	Evals   int              `json:"evaluated"`  // epochs
	Mean    mean             `json:"epoch_mean"` // of the steps of the present epoch
	// Metrics is where the history's file stood.
	Metrics *metrics.Mark       `json:"metrics,omitempty"`
	Kernels graph.KernelHistory `json:"kernels,omitempty"` // none in old checkpoints
	// Steps and Epochs stand in old checkpoints, which have no file of them.
	Steps  []Step  `json:"steps,omitempty"`
	Epochs []Epoch `json:"epochs,omitempty"`
}

// tensors are those of the model, its quantisers and the auxiliary loss.
func (t *ThreePhase) tensors() (*safetensors.File, error) {
	f, err := fileOf(t.Model, t.Quantised)
	if err != nil || t.auxiliary == nil {
		return f, err
	}
	return f, layers.AddParams(f, auxiliaryPrefix, t.auxiliary.Params)
}

func (t *ThreePhase) position(p train.Position) any {
	return threePhasePosition{
		Config: t.Config, Updates: p.Updates, Done: p.Done, Evals: p.Evaluated, Mean: t.mean, Metrics: p.Metrics,
		Kernels: p.Kernels,
	}
}

// ResumeThreePhase continues the run whose checkpoint is at path, and goes on saving there. Hooks are to be set, and an
// auxiliary loss is to be joined, anew.
func ResumeThreePhase(path string) (*ThreePhase, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	t, at, err := resumeThreePhase(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := t.Resume(path, at); err != nil {
		return nil, err
	}
	return t, nil
}

// ReadThreePhaseConfig is the configuration of the run whose checkpoint is at path, of which it reads no more than the
// header: it tells what ResumeThreePhase will take before anything is taken. Its errors are those of ResumeThreePhase,
// but for what is wrong with tensors.
func ReadThreePhaseConfig(path string) (ThreePhaseConfig, error) {
	metadata, err := safetensors.ReadMetadata(path)
	if err != nil {
		return ThreePhaseConfig{}, err
	}
	p, err := threePhasePositionOf(&safetensors.File{Metadata: metadata})
	if err != nil {
		return ThreePhaseConfig{}, fmt.Errorf("%s: %w", path, err)
	}
	return p.Config, nil
}

// threePhasePositionOf is the position in a file's header, with a configuration that is valid.
func threePhasePositionOf(f *safetensors.File) (*threePhasePosition, error) {
	if err := layers.WantKind(f, "a checkpoint of cajq-3phase", layers.ModelFile, layers.QuantisedRun); err != nil {
		return nil, err
	}
	var p threePhasePosition
	if err := json.Unmarshal([]byte(f.Metadata[train.Key]), &p); err != nil {
		return nil, fmt.Errorf("not a checkpoint of a three-phase run: the header's %q is not valid: %w", train.Key,
			foreign.JSON(err))
	}
	if err := p.Config.Validate(); err != nil {
		return nil, fmt.Errorf("the configuration in the header is not valid: %w", err)
	}
	return &p, nil
}

func resumeThreePhase(f *safetensors.File) (t *ThreePhase, at train.Position, err error) {
	p, err := threePhasePositionOf(f)
	if err != nil {
		return nil, at, err
	}
	if t, err = newThreePhase(p.Config); err != nil {
		return nil, at, err
	}
	t.mean, t.updates = p.Mean, p.Updates
	at = train.Position{Done: p.Done, Evaluated: p.Evals, Metrics: p.Metrics, Kernels: p.Kernels}
	if p.Metrics == nil { // an old checkpoint
		t.History.Steps, t.History.Evaluations = p.Steps, p.Epochs
		at.Done, at.Evaluated = len(p.Steps), len(p.Epochs)
		for _, s := range p.Steps {
			t.count(s)
		}
	}
	if err := at.CheckEpochs(t.TotalSteps(), train.Every(t.perEpoch)); err != nil {
		return nil, at, fmt.Errorf("the training position in the header is not valid: %w", err)
	}
	if _, ok := f.Metadata[quantisedKey]; ok {
		if t.Quantised, err = FromFile(f); err != nil {
			return nil, at, err
		}
		t.Model = t.Quantised.Model
	} else if t.Model, err = layers.FromFile(f); err != nil {
		return nil, at, err
	}
	if !t.Model.Config.Equal(p.Config.Model) {
		return nil, at, fmt.Errorf("the model is of another configuration than the run in the header")
	}
	t.resumed = f
	return t, at, nil
}
