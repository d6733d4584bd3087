package qat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/graph"
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
		Model: layers.Reference(), Context: 1024, Samples: 2048, BatchSize: 4, EvalSamples: 256, Seed: 42, SampleKeys: tasks.CurrentKeys,
		Warmup: PhaseConfig{3, 1e-3}, QAT: PhaseConfig{10, 5e-4}, Cooldown: PhaseConfig{2, 1e-4},
		StepLRRatio: 1, WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.999, Clip: 1, LambdaQAT: 1e-4, LambdaBAEE: 0.1,
		CalibrationBatches: 32, Quantisation: DefaultOptions(),
	}
	c.Quantisation.GroupSize = 128
	return c
}

// Validate names the first setting that cannot work, its value and what is allowed.
func (c ThreePhaseConfig) Validate() error {
	if err := c.Model.Validate(); err != nil {
		return err
	}
	if err := c.Model.CheckCausal(); err != nil {
		return err
	}
	if c.Model.LanguageModel() {
		return fmt.Errorf("num_classes is 0: the training tasks are classifications and need at least 2 classes")
	}
	if err := checkInts(
		setting[int]{"context", c.Context, layers.MinContext, c.Model.MaxLen}, setting[int]{"samples", c.Samples, 1, 1 << 24},
		setting[int]{"batch_size", c.BatchSize, 1, 1 << 16}, setting[int]{"eval_samples", c.EvalSamples, 1, 1 << 24},
		setting[int]{"warmup.epochs", c.Warmup.Epochs, 0, 1 << 20}, setting[int]{"qat.epochs", c.QAT.Epochs, 1, 1 << 20},
		setting[int]{"cooldown.epochs", c.Cooldown.Epochs, 0, 1 << 20}, setting[int]{"calibration_batches", c.CalibrationBatches, 1, 1 << 20},
	); err != nil {
		return err
	}
	if err := checkFloats(
		setting[float64]{"warmup.lr", c.Warmup.LR, 0, 10}, setting[float64]{"qat.lr", c.QAT.LR, 0, 10},
		setting[float64]{"cooldown.lr", c.Cooldown.LR, 0, 10}, setting[float64]{"step_lr_ratio", c.StepLRRatio, 0, 1e6},
		setting[float64]{"weight_decay", c.WeightDecay, 0, 10}, setting[float64]{"beta1", c.Beta1, 0, almostOne},
		setting[float64]{"beta2", c.Beta2, 0, almostOne}, setting[float64]{"clip", c.Clip, 0, math.MaxFloat64},
		setting[float64]{"lambda_qat", c.LambdaQAT, 0, math.MaxFloat64}, setting[float64]{"lambda_baee", c.LambdaBAEE, 0, math.MaxFloat64},
	); err != nil {
		return err
	}
	if err := c.SampleKeys.Check(); err != nil {
		return err
	}
	for _, w := range tasks.TrainingMixture() {
		if err := tasks.Check(w.Task, c.params()); err != nil {
			return err
		}
	}
	if err := c.Quantisation.Validate(c.Model); err != nil {
		return fmt.Errorf("quantisation: %w", err)
	}
	return nil
}

// draw is the seed of all samples.
func (c ThreePhaseConfig) draw() tasks.Draw { return tasks.Draw{Keys: c.SampleKeys, Seed: c.Seed} }

// params are the dimensions of the tasks.
func (c ThreePhaseConfig) params() tasks.Params {
	return tasks.Params{Length: c.Context, Vocab: c.Model.VocabSize, Classes: c.Model.NumClasses}
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
	Steps     []Step     // that are known: all, but for those of a history that was gone when the run was resumed
	Epochs    []Epoch    // the same
	// Kernels are those that the run's steps were made on.
	Kernels graph.KernelHistory
	// Warnings are lines, for users, about what a resumed run does not have as it was: its kernels, its history.
	Warnings []string

	Session
	// EpochDone, if set, is told of every epoch.
	EpochDone func(Epoch)

	auxiliary *Auxiliary
	resumed   *safetensors.File // what the run was resumed from, until its optimiser and the auxiliary parameters are restored
	updates   map[string]int    // of the optimiser in it
	opt       *optimiser        // of the present phase; nil: to be made
	program   *layers.Trainer
	data      dataset
	held      []tasks.Sample
	done      int  // steps
	epochs    int  // finished ones: those that are evaluated
	mean      mean // of the present epoch
	journal   metrics.Journal
}

// mean sums up the steps of an epoch.
type mean struct {
	Loss      float64 `json:"loss"`
	Auxiliary float64 `json:"auxiliary"`
}

// Auxiliary is a network of its own that is trained along with the model in the quantised phases: the retention classifier
// of an episodic memory. What is minimised is task + LambdaQAT · drift + LambdaBAEE · Loss.
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
	t := &ThreePhase{Config: c}
	t.Kernels, _ = t.Kernels.Continue(0, graph.CurrentKernels())
	var err error
	switch {
	case base == nil:
		t.Model, err = layers.NewModel(c.Model, c.Seed)
	case base.Config != c.Model:
		return nil, fmt.Errorf("the model to begin with is of another configuration than [model]: %+v instead of %+v", base.Config, c.Model)
	case prepared(base):
		return nil, fmt.Errorf("the model to begin with is quantised already: give a floating-point checkpoint")
	default:
		t.Model, err = base.Clone()
	}
	if err != nil {
		return nil, err
	}
	return t, t.loadData()
}

func (t *ThreePhase) loadData() error {
	c := t.Config
	source := c.draw().For(tasks.ThreePhase, 0)
	samples, err := tasks.Mixture(c.Samples, c.params(), source, nil)
	if err != nil {
		return err
	}
	t.data = dataset{samples, c.BatchSize, source}
	t.held, err = tasks.Mixture(c.EvalSamples, c.params(), c.draw().For(tasks.HeldOut, 0), nil)
	return err
}

// Join trains a along in the quantised phases with the weight LambdaBAEE. It comes before Run; in a run that was resumed
// from a checkpoint with auxiliary parameters it sets those of a to them.
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

// ready restores what Join and the optimiser need of the checkpoint that the run was resumed from.
func (t *ThreePhase) ready() error {
	f := t.resumed
	if f == nil {
		return nil
	}
	if t.auxiliary == nil && slices.ContainsFunc(f.Names(), func(name string) bool { return strings.HasPrefix(name, auxiliaryPrefix) }) {
		return fmt.Errorf("%s: the run trains an auxiliary loss along: join it before the run continues", t.CheckpointPath)
	}
	t.resumed = nil
	if t.phaseEnded() {
		return nil // the next phase's optimiser starts afresh
	}
	t.opt = t.newOptimiser()
	if err := layers.SetMoments(f, t.opt.solver, t.opt.params(), t.updates); err != nil {
		return fmt.Errorf("%s: %w", t.CheckpointPath, err)
	}
	return nil
}

// Done is the number of steps made so far.
func (t *ThreePhase) Done() int { return t.done }

// TotalSteps is the number of optimiser steps of the run.
func (t *ThreePhase) TotalSteps() int {
	c := t.Config
	return (c.Warmup.Epochs + c.QAT.Epochs + c.Cooldown.Epochs) * t.data.stepsPerEpoch()
}

// Run trains to the end from wherever the run stands. When ctx ends it saves a checkpoint after the current step and
// returns an error that wraps curriculum.ErrInterrupted. A calibration or an evaluation under way is given up and made when
// the run continues.
func (t *ThreePhase) Run(ctx context.Context) error { return t.journal.End(t.run(ctx)) }

func (t *ThreePhase) run(ctx context.Context) error {
	defer t.close()
	if err := t.beginMetrics(); err != nil {
		return err
	}
	if err := t.saveBeginning(); err != nil {
		return err
	}
	if err := t.ready(); err != nil {
		return err
	}
	for _, p := range t.Config.phases() {
		if t.done >= (p.first+p.Epochs)*t.data.stepsPerEpoch() && t.epochs >= p.first+p.Epochs {
			continue
		}
		if err := t.phase(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (t *ThreePhase) close() {
	if t.program != nil {
		t.program.Program.Close()
		t.program = nil
	}
}

// phase runs what is left of one phase.
func (t *ThreePhase) phase(ctx context.Context, p phase) error {
	if p.quantised && t.Quantised == nil {
		if err := t.prepare(ctx); err != nil {
			return err
		}
	}
	if t.opt == nil {
		t.opt = t.newOptimiser()
	}
	t.close()
	var err error
	if t.program, err = t.Model.Train(t.Config.BatchSize, t.Config.Context, t.terms()...); err != nil {
		return err
	}
	for e := t.epochs; e < p.first+p.Epochs; e++ {
		if err := t.runEpoch(ctx, p, e); err != nil {
			return err
		}
	}
	t.opt = nil // the next phase begins with its own
	return nil
}

func (t *ThreePhase) newOptimiser() *optimiser {
	c := t.Config
	var auxiliary []*graph.Param
	if t.auxiliary != nil && t.Quantised != nil {
		auxiliary = t.auxiliary.Params
	}
	return newOptimiser(t.Model, t.Quantised, recipe{c.Beta1, c.Beta2, c.WeightDecay, c.Clip}, auxiliary...)
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
	data, err := MixtureBatches(c.Model, c.CalibrationBatches, c.BatchSize, c.Context, c.draw().For(tasks.Calibration, 0))
	if err != nil {
		return err
	}
	calibration, err := CalibrateContext(ctx, t.Model, data)
	if errors.Is(err, curriculum.ErrInterrupted) {
		return t.stopped() // the end of the phase before, or the run's beginning, is in the checkpoint
	}
	if err != nil {
		return err
	}
	t.Quantised, err = Prepare(t.Model, calibration, c.Quantisation)
	return err
}

func (t *ThreePhase) runEpoch(ctx context.Context, p phase, epoch int) error {
	perEpoch := t.data.stepsPerEpoch()
	lr := cosine(p.LR, epoch-p.first, p.Epochs)
	for at := t.done; at < (epoch+1)*perEpoch; at++ {
		if ctx.Err() != nil {
			return t.interrupted()
		}
		ids, labels := t.data.at(at)
		s, err := t.opt.step(t.program, t.Quantised, ids, labels, lr, lr*t.Config.StepLRRatio)
		if err != nil {
			return fmt.Errorf("training stopped at step %d (%s): %w at lr %g", at+1, p.name, err, p.LR)
		}
		s.Step, s.Phase, s.Epoch = at+1, p.name, epoch
		if terms := t.program.Terms(); t.trainsAuxiliary() {
			s.Auxiliary = float64(terms[len(terms)-1]) / t.Config.LambdaBAEE
		}
		if err := t.journal.Add(metrics.StepKind, s); err != nil {
			return err
		}
		t.count(s)
		t.Steps = append(t.Steps, s)
		if t.Report != nil {
			t.Report(s)
		}
		if t.CheckpointEvery > 0 && s.Step%t.CheckpointEvery == 0 {
			if err := t.save(); err != nil {
				return err
			}
		}
	}
	return t.endEpoch(ctx, p, epoch, lr)
}

// count takes a step into the position.
func (t *ThreePhase) count(s Step) {
	n := t.data.stepsPerEpoch()
	if t.done%n == 0 {
		t.mean = mean{}
	}
	t.done++
	t.mean.Loss += s.Loss / float64(n)
	t.mean.Auxiliary += s.Auxiliary / float64(n)
}

// beginMetrics brings the history's file to where the run stands.
func (t *ThreePhase) beginMetrics() error {
	return t.journal.Begin(t.CheckpointPath, t.done-len(t.Steps), t.replay)
}

// replay gives the history line by line, in the order in which it came about.
func (t *ThreePhase) replay(add func(kind string, v any) error) error {
	n, epochs := t.data.stepsPerEpoch(), t.Epochs
	for i, s := range t.Steps {
		if err := add(metrics.StepKind, s); err != nil {
			return err
		}
		if (i+1)%n == 0 && len(epochs) > 0 {
			if err := add(metrics.EvaluationKind, epochs[0]); err != nil {
				return err
			}
			epochs = epochs[1:]
		}
	}
	return nil
}

func (t *ThreePhase) endEpoch(ctx context.Context, p phase, epoch int, lr float64) error {
	accuracy, err := curriculum.EvaluateContext(ctx, t.Model, t.held, t.Config.BatchSize)
	if err != nil && ctx.Err() != nil {
		return t.interrupted()
	}
	if err != nil {
		return err
	}
	e := Epoch{
		Phase: p.name, Epoch: epoch, Loss: t.mean.Loss, Auxiliary: t.mean.Auxiliary, LR: lr,
		Steps: StepStats{Least: 1, Most: 1}, Accuracy: accuracy,
	}
	if t.Quantised != nil {
		e.Steps = t.Quantised.Steps()
	}
	if err := t.journal.Add(metrics.EvaluationKind, e); err != nil {
		return err
	}
	t.epochs++
	t.Epochs = append(t.Epochs, e)
	if t.EpochDone != nil {
		t.EpochDone(e)
	}
	return t.save()
}

func (t *ThreePhase) interrupted() error {
	if err := t.save(); err != nil {
		return fmt.Errorf("%w at step %d, and the checkpoint could not be written: %w", curriculum.ErrInterrupted, t.done, err)
	}
	return t.stopped()
}

// saveBeginning writes the checkpoint of a run that has none: one that is killed before its first step that counts would else
// leave a history that goes with nothing.
func (t *ThreePhase) saveBeginning() error {
	if t.done > 0 || t.resumed != nil || t.opt != nil {
		return nil
	}
	t.opt = t.newOptimiser()
	defer func() { t.opt = nil }() // the first phase has its own
	return t.save()
}

// stopped is the error of an interrupted run whose state is in its checkpoint, if it has one.
func (t *ThreePhase) stopped() error {
	if t.CheckpointPath == "" {
		return fmt.Errorf("%w at step %d", curriculum.ErrInterrupted, t.done)
	}
	return fmt.Errorf("%w at step %d; everything up to it is in %s", curriculum.ErrInterrupted, t.done, t.CheckpointPath)
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

// save writes the checkpoint to CheckpointPath, if there is one.
func (t *ThreePhase) save() error {
	if t.CheckpointPath == "" {
		return nil
	}
	f, err := fileOf(t.Model, t.Quantised)
	if err != nil {
		return err
	}
	p := threePhasePosition{Config: t.Config, Done: t.done, Evals: t.epochs, Mean: t.mean, Kernels: t.Kernels}
	if err := t.beginMetrics(); err != nil {
		return err
	}
	if p.Metrics, err = t.journal.Mark(); err != nil { // before the checkpoint that counts on it
		return err
	}
	if p.Updates, err = layers.AddMoments(f, t.opt.solver, t.opt.params()); err != nil {
		return err
	}
	if t.auxiliary != nil {
		if err := layers.AddParams(f, auxiliaryPrefix, t.auxiliary.Params); err != nil {
			return err
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f.Metadata[trainingKey] = string(text)
	return safetensors.Write(t.CheckpointPath, f)
}

// ResumeThreePhase continues the run whose checkpoint is at path, and goes on saving there. Session.Report and EpochDone are
// to be set, and an auxiliary loss is to be joined, anew.
func ResumeThreePhase(path string) (*ThreePhase, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	t, p, err := resumeThreePhase(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.CheckpointPath = path
	if p.Metrics != nil {
		warning, err := t.journal.Restore(path, *p.Metrics, t.done, t.add)
		if err != nil {
			return nil, err
		}
		t.warn(warning)
		if warning != "" && t.epochs > 0 && t.done == t.epochs*t.data.stepsPerEpoch() {
			t.epochs-- // the last evaluation is gone: it is made again, so that a run always ends with one
		}
	}
	kernels, warning := p.Kernels.Continue(t.done, graph.CurrentKernels())
	t.Kernels = kernels
	t.warn(warning)
	return t, nil
}

func (t *ThreePhase) warn(line string) {
	if line != "" {
		t.Warnings = append(t.Warnings, line)
	}
}

// add takes over a line of the history's file.
func (t *ThreePhase) add(kind string, text []byte) error {
	switch kind {
	case metrics.StepKind:
		return metrics.Decode(&t.Steps, text)
	case metrics.EvaluationKind:
		return metrics.Decode(&t.Epochs, text)
	}
	return nil
}

// ReadThreePhaseConfig is the configuration of the run whose checkpoint is at path, of which it reads no more than the
// header: it tells what ResumeThreePhase will take before anything is taken. Its errors are those of ResumeThreePhase, but
// for what is wrong with tensors.
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
	if err := json.Unmarshal([]byte(f.Metadata[trainingKey]), &p); err != nil {
		return nil, fmt.Errorf("not a checkpoint of a three-phase run: the header's %q is not valid: %w", trainingKey, err)
	}
	if err := p.Config.Validate(); err != nil {
		return nil, fmt.Errorf("the configuration in the header is not valid: %w", err)
	}
	return &p, nil
}

func resumeThreePhase(f *safetensors.File) (*ThreePhase, *threePhasePosition, error) {
	p, err := threePhasePositionOf(f)
	if err != nil {
		return nil, nil, err
	}
	t := &ThreePhase{Config: p.Config, Steps: p.Steps, Epochs: p.Epochs}
	if err := t.loadData(); err != nil {
		return nil, nil, err
	}
	if p.Metrics == nil { // an old checkpoint
		for _, s := range p.Steps {
			t.count(s)
		}
		t.epochs = len(p.Epochs)
	} else {
		t.done, t.epochs, t.mean = p.Done, p.Evals, p.Mean
	}
	if n := t.data.stepsPerEpoch(); t.done < 0 || t.done > t.TotalSteps() || t.epochs > t.done/n || t.epochs < (t.done-1)/n {
		return nil, nil, fmt.Errorf("the training position in the header is not valid: %d steps and %d epochs, of %d steps an epoch", t.done, t.epochs, n)
	}
	if _, ok := f.Metadata[quantisedKey]; ok {
		if t.Quantised, err = FromFile(f); err != nil {
			return nil, nil, err
		}
		t.Model = t.Quantised.Model
	} else if t.Model, err = layers.FromFile(f); err != nil {
		return nil, nil, err
	}
	if t.Model.Config != p.Config.Model {
		return nil, nil, fmt.Errorf("the model is of another configuration than the run in the header")
	}
	t.resumed, t.updates = f, p.Updates
	return t, p, nil
}

// phaseEnded says whether the run stands at the end of a phase, with its last epoch evaluated.
func (t *ThreePhase) phaseEnded() bool {
	for _, p := range t.Config.phases() {
		if end := p.first + p.Epochs; t.epochs == end && t.done == end*t.data.stepsPerEpoch() {
			return true
		}
	}
	return t.done == 0
}
