package curriculum

import (
	"encoding/json"
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// A checkpoint is one safetensors file: the model as layers.Model.File lays it out, AdamW's moments as layers.AddMoments
// does, and under the header's key "training" the position as JSON. The generators of random numbers need no state of their
// own: each is made anew from the seed, the stage and the epoch. The history is in a file beside it (package metrics), of
// which it holds the place where the run stands, so its size does not grow with the run. It depends on the kernels that the
// steps were made on, which it names, and on nothing else of the time or the machine: equal runs on equal kernels give equal
// files.
const trainingKey = "training"

// position is the part of a checkpoint that is not tensors.
type position struct {
	Config  Config         `json:"config"`
	Done    int            `json:"done"` // optimiser steps
	Epoch   epochCount     `json:"epoch"`
	Updates map[string]int `json:"updates"` // AdamW's step count by parameter
	Epochs  int            `json:"epochs"`  // finished ones: those that are evaluated
	// Metrics is where the history's file stood.
	Metrics *metrics.Mark       `json:"metrics,omitempty"`
	Kernels graph.KernelHistory `json:"kernels,omitempty"` // none in old checkpoints
	// History stands in old checkpoints, which have no file of it.
	History *History `json:"history,omitempty"`
}

// Save writes the checkpoint to CheckpointPath, if there is one, in place of the one before. A state that is not finite is
// not saved: the one before is of more use.
func (t *Trainer) Save() error { return t.journal.End(t.save()) }

func (t *Trainer) save() error {
	if t.CheckpointPath == "" {
		return nil
	}
	f, err := t.file()
	if err != nil {
		return err
	}
	if err := safetensors.Write(t.CheckpointPath, f); err != nil {
		return err
	}
	t.saved = t.done
	if t.Report.Saved != nil {
		return t.Report.Saved(t.done)
	}
	return nil
}

// file is the checkpoint.
func (t *Trainer) file() (*safetensors.File, error) {
	f, err := t.Model.File()
	if err != nil {
		return nil, t.diverged(err.Error())
	}
	updates, err := layers.AddMoments(f, t.Solver, t.Model.Params.All())
	if err != nil {
		return nil, t.diverged(err.Error())
	}
	p := position{Config: t.Config, Done: t.done, Epoch: t.epoch, Updates: updates, Epochs: t.epochs, Kernels: t.Kernels}
	if err := t.beginMetrics(); err != nil {
		return nil, err
	}
	if p.Metrics, err = t.journal.Mark(); err != nil { // before the checkpoint that counts on it
		return nil, err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	f.Metadata[trainingKey] = string(text)
	return f, nil
}

// Resume continues the run whose checkpoint is at path, and goes on saving there.
func Resume(path string) (*Trainer, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	t, p, err := resume(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.CheckpointPath = path
	if p.Metrics != nil {
		warning, err := t.journal.Restore(path, *p.Metrics, t.done, t.History.add)
		if err != nil {
			return nil, err
		}
		t.warn(warning)
		perEpoch, err := t.Config.StepsPerEpoch()
		if err != nil {
			return nil, err
		}
		if warning != "" && t.epochs > 0 && t.done == t.epochs*perEpoch {
			t.epochs-- // the last evaluation is gone: it is made again, so that a run always ends with one
		}
	}
	kernels, warning := p.Kernels.Continue(t.done, graph.CurrentKernels())
	t.Kernels = kernels
	t.warn(warning)
	return t, nil
}

func (t *Trainer) warn(line string) {
	if line != "" {
		t.Warnings = append(t.Warnings, line)
	}
}

// ReadConfig is the configuration of the run whose checkpoint is at path, of which it reads no more than the header: it tells
// what Resume will take before anything is taken. Its errors are those of Resume, but for what is wrong with tensors.
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
	if err := layers.WantKind(f, "a checkpoint of pretrain", layers.ModelFile); err != nil {
		return nil, err
	}
	text, ok := f.Metadata[trainingKey]
	if !ok {
		return nil, fmt.Errorf("not a checkpoint of a run: the header has no key %q (a finished model cannot be resumed)", trainingKey)
	}
	var p position
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("the training position in the header is not valid: %w", err)
	}
	if p.History != nil {
		p.Epochs = len(p.History.Evaluations) // an old checkpoint has no number of its own
	}
	if err := p.Config.Validate(); err != nil {
		return nil, fmt.Errorf("the configuration in the header is not valid: %w", err)
	}
	return &p, nil
}

func resume(f *safetensors.File) (*Trainer, *position, error) {
	p, err := positionOf(f)
	if err != nil {
		return nil, nil, err
	}
	if err := checkTensors(f, p.Config.Model); err != nil {
		return nil, nil, err
	}
	t, err := New(p.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("the configuration in the header is not valid: %w", err)
	}
	if err := p.check(t.Model.Params.All()); err != nil {
		return nil, nil, fmt.Errorf("the training position in the header is not valid: %w", err)
	}
	if err := t.Model.SetWeights(f, ""); err != nil {
		return nil, nil, err
	}
	if err := layers.SetMoments(f, t.Solver, t.Model.Params.All(), p.Updates); err != nil {
		return nil, nil, err
	}
	if want := 3 * len(t.Model.Params.All()); len(f.Tensors) != want {
		return nil, nil, fmt.Errorf("%d tensors, where the model in the header needs %d: the file was put together wrongly", len(f.Tensors), want)
	}
	t.done, t.saved, t.epoch, t.epochs = p.Done, p.Done, p.Epoch, p.Epochs
	if p.History != nil {
		t.History = *p.History
	}
	return t, p, nil
}

// checkTensors holds the file's tensors against the model before memory is taken for it.
func checkTensors(f *safetensors.File, c layers.Config) error {
	m, err := layers.Outline(c)
	if err != nil {
		return err
	}
	for _, p := range m.Params.All() {
		if _, err := layers.FindTensor(f, "", p); err != nil {
			return err
		}
	}
	return nil
}

// check refuses a position that no run of its configuration can have.
func (p position) check(params []*graph.Param) error {
	perEpoch, err := p.Config.StepsPerEpoch()
	if err != nil {
		return err
	}
	total := perEpoch * p.Config.EpochsPerStage * len(p.Config.Curriculum)
	if p.Done < 0 || p.Done > total {
		return fmt.Errorf("%d steps are done of %d", p.Done, total)
	}
	if (p.History == nil) == (p.Metrics == nil) {
		return fmt.Errorf("it must have a history or the place of one")
	}
	if p.History != nil && (len(p.History.Steps) != p.Done || len(p.History.Evaluations) != p.Epochs) {
		return fmt.Errorf("after %d steps the history has %d steps and %d evaluations", p.Done, len(p.History.Steps), len(p.History.Evaluations))
	}
	due := p.Done > 0 && p.Epochs == p.Done/perEpoch-1 && p.Done%perEpoch == 0 // the run was interrupted in the last evaluation
	if p.Epochs != p.Done/perEpoch && !due {
		return fmt.Errorf("after %d steps %d epochs are evaluated", p.Done, p.Epochs)
	}
	for _, param := range params {
		if n := p.Updates[param.Name]; n < 0 || n > p.Done {
			return fmt.Errorf("after %d steps %s has %d updates", p.Done, param.Name, n)
		}
	}
	return nil
}
