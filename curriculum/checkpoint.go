package curriculum

import (
	"encoding/json"
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// A checkpoint is one safetensors file: the model as layers.Model.File lays it out, AdamW's moments as layers.AddMoments
// does, and under the header's key "training" the position as JSON. The generators of random numbers need no state of their
// own: each is made anew from the seed, the stage and the epoch. Nothing in it depends on the time or the machine, so equal
// runs give equal files.
const trainingKey = "training"

// position is the part of a checkpoint that is not tensors.
type position struct {
	Config  Config         `json:"config"`
	Done    int            `json:"done"` // optimiser steps
	Epoch   epochCount     `json:"epoch"`
	Updates map[string]int `json:"updates"` // AdamW's step count by parameter
	History History        `json:"history"`
}

// Save writes the checkpoint to CheckpointPath, if there is one, in place of the one before. A state that is not finite is
// not saved: the one before is of more use.
func (t *Trainer) Save() error {
	if t.CheckpointPath == "" {
		return nil
	}
	f, err := t.file()
	if err != nil {
		return t.diverged(err.Error())
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
		return nil, err
	}
	updates, err := layers.AddMoments(f, t.Solver, t.Model.Params.All())
	if err != nil {
		return nil, err
	}
	p := position{Config: t.Config, Done: t.done, Epoch: t.epoch, Updates: updates, History: t.History}
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
	t, err := resume(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.CheckpointPath = path
	return t, nil
}

func resume(f *safetensors.File) (*Trainer, error) {
	text, ok := f.Metadata[trainingKey]
	if !ok {
		return nil, fmt.Errorf("not a checkpoint of a run: the header has no key %q (a finished model cannot be resumed)", trainingKey)
	}
	var p position
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("the training position in the header is not valid: %w", err)
	}
	if err := p.Config.Validate(); err != nil {
		return nil, fmt.Errorf("the configuration in the header is not valid: %w", err)
	}
	if err := checkTensors(f, p.Config.Model); err != nil {
		return nil, err
	}
	t, err := New(p.Config)
	if err != nil {
		return nil, fmt.Errorf("the configuration in the header is not valid: %w", err)
	}
	if err := p.check(t.Model.Params.All()); err != nil {
		return nil, fmt.Errorf("the training position in the header is not valid: %w", err)
	}
	if err := t.Model.SetWeights(f, ""); err != nil {
		return nil, err
	}
	if err := layers.SetMoments(f, t.Solver, t.Model.Params.All(), p.Updates); err != nil {
		return nil, err
	}
	if want := 3 * len(t.Model.Params.All()); len(f.Tensors) != want {
		return nil, fmt.Errorf("%d tensors, where the model in the header needs %d: the file was put together wrongly", len(f.Tensors), want)
	}
	t.done, t.saved, t.epoch, t.History = p.Done, p.Done, p.Epoch, p.History
	return t, nil
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
	steps, evaluations := len(p.History.Steps), len(p.History.Evaluations)
	due := p.Done > 0 && evaluations == p.Done/perEpoch-1 && p.Done%perEpoch == 0 // the run was interrupted in the last one
	if steps != p.Done || evaluations != p.Done/perEpoch && !due {
		return fmt.Errorf("after %d steps the history has %d steps and %d evaluations", p.Done, steps, evaluations)
	}
	for _, param := range params {
		if n := p.Updates[param.Name]; n < 0 || n > p.Done {
			return fmt.Errorf("after %d steps %s has %d updates", p.Done, param.Name, n)
		}
	}
	return nil
}
