package curriculum

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// position is the part of a checkpoint that is not tensors, as it is written. It depends on the kernels that the steps
// were made on, which it names, and on nothing else of the time or the machine: equal runs on equal kernels give equal
// files.
type position struct {
	Config  Config         `json:"config"`
	Done    int            `json:"done"` // optimiser steps
	Epoch   epochCount     `json:"epoch"`
	Updates map[string]int `json:"updates"` // AdamW's step count by parameter
	Epochs  int            `json:"epochs"`  // finished ones: those that are evaluated
	// Early is the step that each stage ended with before its time, 0 where it did not; none where none did.
	Early []int `json:"early,omitempty"`
	// Classifier is the number of steps that the retention classifier has learnt in.
	Classifier int `json:"classifier_steps,omitempty"`
	// Data is the key of the run's own samples; nil without any.
	Data *data.Key `json:"data,omitempty"`
	// Metrics is where the history's file stood.
	Metrics *metrics.Mark       `json:"metrics,omitempty"`
	Kernels graph.KernelHistory `json:"kernels,omitempty"` // none in old checkpoints
	// History stands in old checkpoints, which have no file of it.
	History *History `json:"history,omitempty"`
}

// position is what the checkpoint holds of p.
func (t *Trainer) position(p train.Position) any {
	var key *data.Key
	if t.Own != nil {
		key = &t.Own.Set.Key
	}
	learnt := 0
	if t.learner != nil {
		learnt = t.learner.steps()
	}
	return position{
		Data: key, Classifier: learnt,
		Config: t.Config, Done: p.Done, Epoch: t.epoch, Updates: p.Updates, Epochs: p.Evaluated, Metrics: p.Metrics,
		Kernels: p.Kernels, Early: t.endedEarly(),
	}
}

// endedEarly is what the checkpoint holds of stages that ended before their time.
func (t *Trainer) endedEarly() []int {
	if slices.Max(t.early) == 0 {
		return nil
	}
	return t.early
}

// loop is the position of the loop.
func (p *position) loop() train.Position {
	return train.Position{Done: p.Done, Evaluated: p.Epochs, Updates: p.Updates, Metrics: p.Metrics, Kernels: p.Kernels}
}

// Resume continues the run whose checkpoint is at path, and goes on saving there.
func Resume(path string) (*Trainer, error) {
	return ResumeOn(context.Background(), path, FloatBase, nil)
}

// ResumeOn is Resume of a run that may be on data, which are made ready again beside the checkpoint if they are not.
// They have to be those that the run began with. read makes the model of the checkpoint.
func ResumeOn(ctx context.Context, path string, read ReadBase, progress func(data.Progress)) (*Trainer, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	t, p, err := restored(ctx, f, read, DataFolder(filepath.Dir(path)), progress)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := t.Resume(path, p.loop()); err != nil {
		return nil, err
	}
	return t, nil
}

// LowerRate has a run that stopped because it diverged, and that was resumed, go on with another peak learning rate
// from its last checkpoint on, which notes it: whenever that is resumed, the run goes on with it.
func (t *Trainer) LowerRate(lr float64) error {
	diverged, err := metrics.EndsDiverged(metrics.Beside(t.CheckpointPath))
	if err != nil {
		return err
	}
	was := t.Config.PeakLR()
	switch {
	case !diverged:
		return bounds.Wrong("lr", lr, "the run has %g and did not stop because it diverged: leave it out to resume, or "+
			"begin a new run", was)
	case !(lr > 0 && lr < was):
		return bounds.Wrong("lr", lr, "the run diverged with %g: give less, above 0", was)
	}
	rates := &t.Config.Rates
	if n := len(*rates); n > 0 && (*rates)[n-1].Step == t.Done()+1 { // no step was made with it that counts
		*rates = (*rates)[:n-1]
	}
	*rates = append(*rates, Rate{t.Done() + 1, lr})
	total, err := t.Config.TotalSteps()
	if err != nil {
		return err
	}
	rate := t.rate(total)
	for i := range t.Optimiser.Groups {
		t.Optimiser.SetRate(i, rate)
	}
	if t.learner != nil {
		t.learner.optimiser.SetRate(0, rate)
	}
	return t.Save()
}

// ReadConfig is the configuration of the run whose checkpoint is at path, of which it reads no more than the header: it
// tells what Resume will take before anything is taken. Its errors are those of Resume, but for what is wrong with
// tensors.
func ReadConfig(path string) (Config, error) {
	metadata, err := safetensors.ReadMetadata(path)
	if err != nil {
		return Config{}, err
	}
	p, err := positionOf(&safetensors.File{Metadata: metadata})
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return p.Config, nil
}

// positionOf is the position in a file's header, with a configuration that is valid.
func positionOf(f *safetensors.File) (*position, error) {
	if err := layers.WantKind(f, "a checkpoint of pretrain", layers.ModelFile, layers.QuantisedRun); err != nil {
		return nil, err
	}
	text, ok := f.Metadata[train.Key]
	if !ok {
		return nil, fmt.Errorf("not a checkpoint of a run: the header has no key %q (a finished model cannot be resumed)",
			train.Key)
	}
	var p position
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("the training position in the header is not valid: %w", foreign.JSON(err))
	}
	// which runs through quantisers have
	if kind := layers.KindOf(f); kind == layers.QuantisedRun && p.Config.InitFrom == "" {
		return nil, &layers.OtherKindError{Kind: kind, Want: "a checkpoint of pretrain"}
	}
	if p.History != nil {
		p.Epochs = len(p.History.Evaluations) // an old checkpoint has no number of its own
	}
	if err := p.Config.Model.CheckRegistered(); err != nil {
		return nil, err
	}
	if err := p.Config.Validate(); err != nil {
		return nil, fmt.Errorf("the configuration in the header is not valid: %w", err)
	}
	return &p, nil
}

// restored is the trainer of a checkpoint, but for where its loop stands.
func restored(ctx context.Context, f *safetensors.File, read ReadBase, folder string,
	progress func(data.Progress)) (*Trainer, *position, error) {
	p, err := positionOf(f)
	if err != nil {
		return nil, nil, err
	}
	base, err := read(f)
	if err != nil {
		return nil, nil, err
	}
	m := base.Model
	if !m.Config.Equal(p.Config.Model) {
		return nil, nil, fmt.Errorf("the model is of another configuration than the run in the header")
	}
	var own *Own
	if p.Config.Data != nil {
		if p.Data == nil {
			return nil, nil, errors.New("the training position in the header is not valid: it has no key of the data")
		}
		if _, own, err = p.Config.readyData(ctx, folder, p.Data, m.Extra, progress); err != nil {
			return nil, nil, err
		}
	}
	t, err := newTrainer(p.Config, base, own)
	if err != nil {
		return nil, nil, err
	}
	if err := t.place(p); err != nil {
		return nil, nil, fmt.Errorf("the training position in the header is not valid: %w", err)
	}
	if err := t.Optimiser.Restore(f, p.Updates, p.Done); err != nil {
		return nil, nil, err
	}
	if t.average != nil {
		if err := t.average.Restore(f, p.Done); err != nil {
			return nil, nil, err
		}
	}
	if t.learner != nil {
		if err := t.learner.restore(f, p.Classifier, p.Done); err != nil {
			return nil, nil, err
		}
	}
	t.epoch = p.Epoch
	if p.History != nil {
		t.History = *p.History
	}
	return t, p, nil
}

// place takes over where stages ended, and refuses a position that no run of its configuration can have.
func (t *Trainer) place(p *position) error {
	if (p.History == nil) == (p.Metrics == nil) {
		return fmt.Errorf("it must have a history or the place of one")
	}
	if len(p.Early) > 0 && len(p.Early) != len(t.stages) {
		return fmt.Errorf("%d stages ended of %d", len(p.Early), len(t.stages))
	}
	for i, step := range p.Early {
		if from, to := t.span(i); step != 0 && (step <= from || step > to || (step-from)%t.steps[i] != 0 || step > p.Done ||
			t.stages[i].Until == "") {
			return fmt.Errorf("stage %d ended with step %d", i+1, step)
		}
		t.early[i] = step
	}
	if err := p.loop().CheckEpochs(t.end(), t.epochs); err != nil {
		return err
	}
	if p.History != nil && (len(p.History.Steps) != p.Done || len(p.History.Evaluations) != p.Epochs) {
		return fmt.Errorf("after %d steps the history has %d steps and %d evaluations",
			p.Done, len(p.History.Steps), len(p.History.Evaluations))
	}
	return nil
}
