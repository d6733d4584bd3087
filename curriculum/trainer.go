package curriculum

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
)

// Trainer is a run under way.
type Trainer struct {
	Config  Config
	Model   *layers.Model
	Solver  *graph.AdamW
	History History
	// Report, if set, is told of every step and every evaluation.
	Report Report
	// CheckpointPath is where Run saves its state: at the end of each epoch, every CheckpointEvery steps and when it is
	// interrupted. Empty: nowhere.
	CheckpointPath  string
	CheckpointEvery int
	// Kernels are those that the run's steps were made on.
	Kernels graph.KernelHistory
	// Warnings are lines, for users, about what a resumed run does not have as it was: its kernels, its history.
	Warnings []string

	group   *graph.Group
	done    int // steps
	epochs  int // that are finished: those that are evaluated
	saved   int // steps in the checkpoint, -1 without one
	epoch   epochCount
	journal metrics.Journal
}

// Report receives news of a run. Any of its functions may be nil.
type Report struct {
	Step       func(Step)
	Evaluation func(EpochEvaluation)
	Saved      func(step int) error // after each checkpoint
}

// Step tells of one optimiser step.
type Step struct {
	Step     int     `json:"step"` // from 1
	Stage    int     `json:"stage"`
	Context  int     `json:"context"`
	Loss     float64 `json:"loss"`     // cross-entropy of the batch, nats
	Accuracy float64 `json:"accuracy"` // of the epoch's batches so far, on training data
	LR       float64 `json:"lr"`
	GradNorm float64 `json:"grad_norm"` // before clipping

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

// History is what happened so far: as far as it is known, where a run was resumed whose file of it was gone.
type History struct {
	Steps       []Step            `json:"steps"`
	Evaluations []EpochEvaluation `json:"evaluations"`
}

// epochCount counts the answers of an epoch's training batches.
type epochCount struct{ Correct, Total int }

// New prepares a run from its beginning.
func New(c Config) (*Trainer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := layers.NewModel(c.Model, c.Seed)
	if err != nil {
		return nil, err
	}
	t := &Trainer{Config: c, Model: m, CheckpointEvery: 100, saved: -1}
	t.Kernels, _ = t.Kernels.Continue(0, graph.CurrentKernels())
	t.group = &graph.Group{WeightDecay: c.WeightDecay, Params: m.Params.All()}
	t.Solver = graph.NewAdamW(c.Beta1, c.Beta2, c.Clip, t.group)
	return t, nil
}

// Done is the number of steps made so far.
func (t *Trainer) Done() int { return t.done }

// ErrInterrupted is wrapped by the error of a run that was told to stop; its state is in the checkpoint. It is a
// context.Canceled to errors.Is.
var ErrInterrupted error = interrupted{}

type interrupted struct{}

func (interrupted) Error() string        { return "interrupted" }
func (interrupted) Is(target error) bool { return target == context.Canceled }

// gcPercent is how much garbage the heap may hold in a run, in percent of what is in use. That is hundreds of megabytes of
// planned memory and weights; with Go's 100 the process would slowly grow to twice its size. Collecting is cheap here,
// since the large pieces hold no pointers.
const gcPercent = 5

// Run trains to the end, from wherever the trainer stands. When ctx ends it saves a checkpoint after the current step; an
// evaluation under way is given up and made when the run continues.
func (t *Trainer) Run(ctx context.Context) error { return t.journal.End(t.run(ctx)) }

func (t *Trainer) run(ctx context.Context) error {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	if err := t.beginMetrics(); err != nil {
		return err
	}
	perEpoch, err := t.Config.StepsPerEpoch()
	if err != nil {
		return err
	}
	for stage, length := range t.Config.Curriculum {
		if t.epochs >= (stage+1)*t.Config.EpochsPerStage {
			continue
		}
		if err := t.stage(ctx, stage, length, perEpoch); err != nil {
			return err
		}
		debug.FreeOSMemory() // the next stage plans its own memory: do not hold both
	}
	return nil
}

// stage runs what is left of one stage.
func (t *Trainer) stage(ctx context.Context, stage, length, perEpoch int) error {
	c := t.Config
	source := c.draw().For(tasks.Training, stage)
	data, err := tasks.Mixture(c.SamplesPerStage, c.params(length), source, tasks.TrainingMixture())
	if err != nil {
		return err
	}
	held, err := tasks.Mixture(c.EvalSamples, c.params(length), c.draw().For(tasks.HeldOut, stage), tasks.TrainingMixture())
	if err != nil {
		return err
	}
	program, err := t.Model.Train(c.BatchSize, length)
	if err != nil {
		return err
	}
	defer program.Program.Close()
	for epoch := range c.EpochsPerStage {
		after := stage*c.EpochsPerStage + epoch + 1 // epochs of the run
		if t.epochs >= after {
			continue
		}
		end := after * perEpoch
		order := source.Order(len(data), epoch)
		for t.done < end {
			if ctx.Err() != nil {
				return t.interrupted()
			}
			at := t.done - (end - perEpoch)
			if at == 0 {
				t.epoch = epochCount{}
			}
			batch := make([]tasks.Sample, 0, c.BatchSize)
			for _, i := range order[at*c.BatchSize : min((at+1)*c.BatchSize, len(order))] {
				batch = append(batch, data[i])
			}
			if err := t.step(program, batch, stage, length); err != nil {
				return err
			}
			if t.CheckpointEvery > 0 && t.done%t.CheckpointEvery == 0 && t.done < end {
				if err := t.save(); err != nil {
					return err
				}
			}
		}
		if err := t.evaluate(ctx, held, stage, length, epoch); err != nil {
			return err
		}
		if err := t.save(); err != nil {
			return err
		}
	}
	return nil
}

// collate lays out samples for a program of the given batch size; rows beyond them repeat the first one and are not
// counted.
func collate(samples []tasks.Sample, batch int) (ids, labels []int32) {
	for i := range batch {
		s, label := samples[0], int32(graph.Ignore)
		if i < len(samples) {
			s, label = samples[i], samples[i].Label
		}
		ids, labels = append(ids, s.IDs...), append(labels, label)
	}
	return ids, labels
}

func (t *Trainer) step(program *layers.Trainer, batch []tasks.Sample, stage, length int) error {
	start := time.Now()
	total, err := t.Config.TotalSteps()
	if err != nil {
		return err
	}
	ids, labels := collate(batch, t.Config.BatchSize)
	loss, err := program.Run(ids, labels)
	if err != nil {
		return err
	}
	if math.IsNaN(float64(loss)) || math.IsInf(float64(loss), 0) {
		return t.diverged(fmt.Sprintf("the loss is %v", loss))
	}
	t.group.LR = t.Config.LearningRate(t.done, total)
	if err := t.Solver.Step(program.Program.Gradients()); err != nil {
		return t.diverged(err.Error())
	}
	n := t.Model.Outputs()
	for i, s := range batch {
		t.epoch.Total++
		if argmax(program.Logits()[i*n:(i+1)*n]) == int(s.Label) {
			t.epoch.Correct++
		}
	}
	t.done++
	s := Step{
		Step: t.done, Stage: stage, Context: length, Loss: float64(loss), LR: t.group.LR, GradNorm: t.Solver.Norm(),
		Accuracy: float64(t.epoch.Correct) / float64(t.epoch.Total),
		Tokens:   len(batch) * length, Duration: time.Since(start),
	}
	if err := t.journal.Add(metrics.StepKind, s); err != nil {
		return err
	}
	t.History.Steps = append(t.History.Steps, s)
	if t.Report.Step != nil {
		t.Report.Step(s)
	}
	return nil
}

// ErrDiverged is wrapped by the error of a training whose loss or gradients are no longer finite. Continued, it would come
// to the same: its settings are fixed. A new one with a lower rate is the mend.
var ErrDiverged = errors.New("the training diverged")

// diverged ends a run whose numbers are no longer finite. The checkpoint is from before.
func (t *Trainer) diverged(what string) error {
	kept := "there is no checkpoint yet"
	if t.saved >= 0 {
		kept = fmt.Sprintf("the last good checkpoint, of step %d, is %s", t.saved, t.CheckpointPath)
	}
	return fmt.Errorf("training stopped at step %d: %s; %s; %w at lr %g", t.done+1, what, kept, ErrDiverged, t.Config.LR)
}

func (t *Trainer) evaluate(ctx context.Context, samples []tasks.Sample, stage, length, epoch int) error {
	e, err := EvaluateContext(ctx, t.Model, samples, t.Config.BatchSize)
	switch {
	case errors.Is(err, errNotFinite):
		return t.diverged(err.Error())
	case err != nil && ctx.Err() != nil:
		return t.interrupted()
	case err != nil:
		return err
	}
	ee := EpochEvaluation{Step: t.done, Stage: stage, Context: length, Epoch: epoch, Evaluation: e}
	if err := t.journal.Add(metrics.EvaluationKind, ee); err != nil {
		return err
	}
	t.epochs++
	t.History.Evaluations = append(t.History.Evaluations, ee)
	if t.Report.Evaluation != nil {
		t.Report.Evaluation(ee)
	}
	return nil
}

func (t *Trainer) interrupted() error {
	if t.CheckpointPath == "" {
		return fmt.Errorf("%w at step %d", ErrInterrupted, t.done)
	}
	if err := t.save(); err != nil {
		return fmt.Errorf("%w at step %d, and the checkpoint could not be written: %w", ErrInterrupted, t.done, err)
	}
	return fmt.Errorf("%w at step %d; everything up to it is in %s", ErrInterrupted, t.done, t.CheckpointPath)
}
