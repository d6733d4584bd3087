package train

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// Key is the metadata entry of a checkpoint that holds its position.
const Key = "training"

// Form is how a training is saved. The zero value is that of one which is not, and has no epochs.
type Form struct {
	// Epochs is the number of epochs that have ended after so many steps of the run; nil: no epochs, and no evaluations.
	Epochs func(done int) int
	// Tensors is the model's file, and what else the training needs to continue, but for AdamW's moments.
	Tensors func() (*safetensors.File, error)
	// Position is what is written of a position, a value for encoding/json.
	Position func(p Position) any
}

// Position is where a run stands: what the loop needs of a checkpoint beside tensors.
type Position struct {
	Done      int            // steps
	Evaluated int            // epochs
	Updates   map[string]int // AdamW's step count by parameter
	Metrics   *metrics.Mark  // where the history's file stood; nil in old checkpoints, which hold the history themselves
	Kernels   graph.KernelHistory
}

// Save writes the checkpoint to CheckpointPath, if there is one, in place of the one before. A state that is not finite
// is not saved: the one before is of more use.
func (l *Loop[S, T, E]) Save() error {
	err := l.save() // which may begin the history
	return errors.Join(err, l.log.Close())
}

func (l *Loop[S, T, E]) save() error {
	if l.CheckpointPath == "" {
		return nil
	}
	f, err := l.file()
	if errors.Is(err, layers.ErrNotFinite) {
		return l.diverged(err)
	}
	if err != nil {
		return err
	}
	if err := safetensors.Write(l.CheckpointPath, f); err != nil {
		return err
	}
	l.saved = l.done
	if l.Hooks.Saved != nil {
		return l.Hooks.Saved(l.done)
	}
	return nil
}

// file is the checkpoint.
func (l *Loop[S, T, E]) file() (*safetensors.File, error) {
	f, err := l.form.Tensors()
	if err != nil {
		return nil, err
	}
	p := Position{Done: l.done, Evaluated: l.evaluated, Kernels: l.Kernels}
	if p.Updates, err = layers.AddMoments(f, l.Optimiser.AdamW, l.Optimiser.Params()); err != nil {
		return nil, err
	}
	if err := l.begin(); err != nil {
		return nil, err
	}
	mark, err := l.log.Mark() // before the checkpoint that counts on it
	if err != nil {
		return nil, err
	}
	p.Metrics = &mark
	text, err := json.Marshal(l.form.Position(p))
	if err != nil {
		return nil, err
	}
	f.Metadata[Key] = string(text)
	return f, nil
}

// Resume brings the loop to the position of the checkpoint at path, and goes on saving there. Tensors are the caller's
// to set, moments by [Optimiser.Restore], as is the History of an old checkpoint.
func (l *Loop[S, T, E]) Resume(path string, p Position) error {
	l.CheckpointPath, l.done, l.evaluated, l.saved = path, p.Done, p.Evaluated, p.Done
	if p.Metrics != nil {
		if err := l.restoreHistory(*p.Metrics); err != nil {
			return err
		}
	}
	kernels, warning := p.Kernels.Continue(l.done, graph.CurrentKernels())
	l.Kernels = kernels
	if warning != "" {
		l.Warnings = append(l.Warnings, warning)
	}
	return nil
}

// Every is the Form's Epochs of a run whose epochs have n steps each.
func Every(n int) func(done int) int { return func(done int) int { return done / n } }

// ends says whether an epoch ends with the step that is done last.
func (f Form) ends(done int) bool { return done > 0 && f.Epochs(done) > f.Epochs(done-1) }

// CheckEpochs refuses a position that no run of so many steps with these epochs can have: after the steps of an epoch
// its evaluation may be due.
func (p Position) CheckEpochs(total int, epochs func(done int) int) error {
	if p.Done < 0 || p.Done > total {
		return fmt.Errorf("%d steps are done of %d", p.Done, total)
	}
	ended := epochs(p.Done)
	if due := (Form{Epochs: epochs}).ends(p.Done) && p.Evaluated == ended-1; p.Evaluated != ended && !due {
		return fmt.Errorf("after %d steps %d epochs are evaluated", p.Done, p.Evaluated)
	}
	return nil
}
