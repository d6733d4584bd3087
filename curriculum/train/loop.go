package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
)

// Loop is a training under way. S is one sample, T the record of a step, E that of an evaluation; the records are the
// lines of the history.
type Loop[S, T, E any] struct {
	History History[T, E]
	Hooks   Hooks[T, E]
	// Optimiser is that of the present phase.
	Optimiser *Optimiser
	// CheckpointPath is where the run is saved: at the end of each epoch, every CheckpointEvery steps (0: not between
	// epochs) and when it is interrupted. Empty: nowhere.
	CheckpointPath  string
	CheckpointEvery int
	// Kernels are those that the run's steps were made on.
	Kernels graph.KernelHistory
	// Warnings are lines, for users, about what a resumed run does not have as it was: its kernels, its history.
	Warnings []string

	form      Form
	done      int          // steps
	evaluated int          // epochs
	saved     int          // steps in the checkpoint, -1 without one
	log       *metrics.Log // nil until it begins, and without a checkpoint
}

// Hooks are told how a run goes. Any of them may be nil.
type Hooks[T, E any] struct {
	Step       func(T)
	Evaluation func(E)
	Saved      func(step int) error // after each checkpoint; its error ends the run
}

// Phase is a stretch of a run with a program of its own.
type Phase[S, T, E any] struct {
	To int // the step of the run that it ends with
	// Begin makes what computes the phase, and sets the loop's Optimiser where the phase has another one than the run had
	// before. If it returns ErrInterrupted, the run ends as one that was told to stop.
	Begin func(ctx context.Context) (*Program[S, T, E], error)
}

// Program computes the steps of a phase.
type Program[S, T, E any] struct {
	From  int // the step of the run that the phase begins with
	Data  Dataset[S]
	Order Order // of the phase's steps
	// Backward computes the loss of a batch, and the gradients of all its terms.
	Backward func(batch []S) (loss float64, gradients []gorgonia.ValueGrad, err error)
	// Record is what the history holds of a step.
	Record func(u Update, batch []S) T
	// Evaluate is called after each epoch; it ends early, with an error, when ctx ends. nil in a loop without epochs.
	Evaluate func(ctx context.Context) (E, error)
	// Ends says whether the phase ends with this evaluation, before its time; nil: none ends it. What it notes is saved
	// with the checkpoint that follows.
	Ends func(E) bool
	// Close frees the program when the phase ends; it may be nil.
	Close func()
}

// Update tells of one update of the parameters.
type Update struct {
	Step     int // of the run, from 1
	Loss     float64
	Rates    []float64 // of the optimiser's groups
	GradNorm float64   // before clipping
	Duration time.Duration
}

// New is a loop at its beginning.
func New[S, T, E any](f Form) Loop[S, T, E] {
	l := Loop[S, T, E]{form: f, saved: -1}
	l.Kernels, _ = l.Kernels.Continue(0, graph.CurrentKernels())
	return l
}

// Done is the number of steps made so far.
func (l *Loop[S, T, E]) Done() int { return l.done }

// Evaluated is the number of epochs that are finished: those that are evaluated.
func (l *Loop[S, T, E]) Evaluated() int { return l.evaluated }

// ErrInterrupted is wrapped by the error of a run that was told to stop; its state is in the checkpoint. It is a
// context.Canceled to errors.Is.
var ErrInterrupted error = interrupted{}

type interrupted struct{}

func (interrupted) Error() string        { return "interrupted" }
func (interrupted) Is(target error) bool { return target == context.Canceled }

// ErrDiverged is wrapped by the error of a training whose loss or gradients are no longer finite. Continued as it is,
// it would come to the same: the mend is a lower rate, from its last checkpoint on or in a new run.
var ErrDiverged = errors.New("the training diverged")

// Run makes the steps of the phases that are still to be made, from wherever the loop stands. When ctx ends it saves a
// checkpoint after the present step.
func (l *Loop[S, T, E]) Run(ctx context.Context, phases ...Phase[S, T, E]) error {
	err := l.run(ctx, phases) // which may begin the history
	return errors.Join(err, l.log.Close())
}

func (l *Loop[S, T, E]) run(ctx context.Context, phases []Phase[S, T, E]) error {
	if err := l.begin(); err != nil {
		return err
	}
	for _, p := range phases {
		if l.done > p.To || l.done == p.To && !l.due() {
			continue
		}
		if err := l.phase(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// phase runs what is left of one phase.
func (l *Loop[S, T, E]) phase(ctx context.Context, p Phase[S, T, E]) error {
	program, err := p.Begin(ctx)
	if errors.Is(err, ErrInterrupted) {
		return l.interrupted()
	}
	if err != nil {
		return err
	}
	if program.Close != nil {
		defer program.Close()
	}
	for {
		switch {
		case l.due():
			var ended bool
			if ended, err = l.evaluate(ctx, program); ended && err == nil {
				return nil
			}
		case l.done >= p.To:
			return nil
		case ctx.Err() != nil:
			return l.interrupted()
		default:
			err = l.step(program)
		}
		if err != nil {
			return err
		}
	}
}

// due says whether the run stands at the end of an epoch that is not evaluated yet.
func (l *Loop[S, T, E]) due() bool {
	return l.form.Epochs != nil && l.evaluated < l.form.Epochs(l.done)
}

// step takes one step, and saves if it is time to.
func (l *Loop[S, T, E]) step(p *Program[S, T, E]) error {
	start := time.Now()
	samples, err := batch(p.Data, p.Order(l.done-p.From))
	if err != nil {
		return l.failed(err)
	}
	loss, gradients, err := p.Backward(samples)
	if err != nil {
		return l.failed(err)
	}
	if !finite(loss) {
		return l.diverged(fmt.Errorf("the loss is %v", loss))
	}
	rates, err := l.Optimiser.Update(l.done, gradients)
	norm := l.Optimiser.Norm()
	if err != nil && !finite(norm) {
		return l.diverged(err)
	}
	if err != nil {
		return l.failed(err)
	}
	u := Update{Step: l.done + 1, Loss: loss, Rates: rates, GradNorm: norm, Duration: time.Since(start)}
	record := p.Record(u, samples)
	if err := l.log.Add(metrics.StepKind, record); err != nil {
		return err
	}
	l.done++
	l.History.Steps = append(l.History.Steps, record)
	if l.Hooks.Step != nil {
		l.Hooks.Step(record)
	}
	if l.CheckpointEvery > 0 && l.done%l.CheckpointEvery == 0 && !l.due() { // an evaluation saves too
		return l.save()
	}
	return nil
}

// evaluate ends an epoch, and with it the phase if the program says so.
func (l *Loop[S, T, E]) evaluate(ctx context.Context, p *Program[S, T, E]) (ended bool, err error) {
	record, err := p.Evaluate(ctx)
	switch {
	case errors.Is(err, layers.ErrNotFinite):
		return false, l.diverged(err)
	case err != nil && ctx.Err() != nil:
		return false, l.interrupted()
	case err != nil:
		return false, err
	}
	if err := l.log.Add(metrics.EvaluationKind, record); err != nil {
		return false, err
	}
	l.evaluated++
	l.History.Evaluations = append(l.History.Evaluations, record)
	if l.Hooks.Evaluation != nil {
		l.Hooks.Evaluation(record)
	}
	ended = p.Ends != nil && p.Ends(record)
	return ended, l.save()
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// failed is the error of a step that could not be made.
func (l *Loop[S, T, E]) failed(err error) error {
	return fmt.Errorf("training stopped at step %d: %w", l.done+1, err)
}

// diverged ends a run whose numbers are no longer finite. The checkpoint is from before.
func (l *Loop[S, T, E]) diverged(cause error) error {
	kept := ""
	switch {
	case l.saved >= 0:
		kept = fmt.Sprintf("the last good checkpoint, of step %d, is %s; ", l.saved, l.CheckpointPath)
	case l.CheckpointPath != "":
		kept = "there is no checkpoint yet; "
	}
	err := l.failed(fmt.Errorf("%w; %s%w at %s", cause, kept, ErrDiverged, l.Optimiser.rates()))
	return errors.Join(err, l.log.Add(metrics.DivergedKind, map[string]int{"step": l.done + 1}))
}

func (l *Loop[S, T, E]) interrupted() error {
	if l.CheckpointPath == "" {
		return fmt.Errorf("%w at step %d", ErrInterrupted, l.done)
	}
	if err := l.save(); err != nil {
		return fmt.Errorf("%w at step %d, and the checkpoint could not be written: %w", ErrInterrupted, l.done, err)
	}
	return fmt.Errorf("%w at step %d; everything up to it is in %s", ErrInterrupted, l.done, l.CheckpointPath)
}
