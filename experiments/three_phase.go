package experiments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// threePhaseFile is the result of a three-phase run, beside ModelFile, the model with its quantisers, and ClassifierFile.
const threePhaseFile = "cajq-3phase.json"

// ThreePhase is one run of the three-phase trainer (SPEC section 4) in an output directory, with a retention classifier
// trained along if lambda_baee is above 0.
type ThreePhase struct {
	Trainer     *qat.ThreePhase
	Classifier  *baee.Classifier // nil: none
	Dir         string
	Environment Environment
	EpochDone   func(qat.Epoch) // may be nil

	spent Cost // in earlier sessions
	watch stopwatch
}

// ThreePhaseResult is what a finished run leaves in cajq-3phase.json.
type ThreePhaseResult struct {
	Experiment  string               `json:"experiment"`
	Config      qat.ThreePhaseConfig `json:"config"`
	Parameters  int                  `json:"parameters"`
	Environment Environment          `json:"environment"`
	Cost        Cost                 `json:"cost"`
	Model       string               `json:"model"`                // file name of the model with its quantisers
	Classifier  string               `json:"classifier,omitempty"` // file name of the retention classifier
	Epochs      []qat.Epoch          `json:"epochs"`
	Steps       []qat.Step           `json:"steps"`
}

// NewThreePhase prepares a run from its beginning, from a copy of base or, if that is nil, from initial weights. A directory
// that holds a run already is refused.
func NewThreePhase(c qat.ThreePhaseConfig, base *layers.Model, dir string, env Environment) (*ThreePhase, error) {
	t, err := qat.NewThreePhase(c, base)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{CheckpointFile, ModelFile, threePhaseFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return nil, fmt.Errorf("output directory %s already holds a run (%s): continue it with --resume, or give another --output-dir", dir, name)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make output directory %s: %w", dir, withoutPath(err))
	}
	t.CheckpointPath = filepath.Join(dir, CheckpointFile)
	return joined(t, dir, env)
}

// ResumeThreePhase continues the run in dir from its last checkpoint.
func ResumeThreePhase(dir string, env Environment) (*ThreePhase, error) {
	path := filepath.Join(dir, CheckpointFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, ModelFile)); err == nil {
			return nil, fmt.Errorf("the run in %s has ended: its model is in %s", dir, ModelFile)
		}
		return nil, fmt.Errorf("there is no checkpoint %s to resume: leave out --resume to begin a run, or give the --output-dir of one", path)
	}
	t, err := qat.ResumeThreePhase(path)
	if err != nil {
		return nil, err
	}
	r, err := joined(t, dir, env)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, costFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil // killed before its first cost was written
	}
	if err == nil {
		err = json.Unmarshal(text, &r.spent)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; delete it to resume without the time spent so far", filepath.Join(dir, costFile), withoutPath(err))
	}
	return r, nil
}

// joined is the run of a trainer with its classifier, whose initial weights belong to the run's seed.
func joined(t *qat.ThreePhase, dir string, env Environment) (*ThreePhase, error) {
	r := &ThreePhase{Trainer: t, Dir: dir, Environment: env}
	if t.Config.LambdaBAEE == 0 {
		return r, nil
	}
	var err error
	if r.Classifier, err = baee.NewClassifier(t.Config.Model.Dim, baee.DefaultHidden, t.Config.Seed); err != nil {
		return nil, err
	}
	return r, t.Join(RetentionLoss(r.Classifier, t.Model))
}

// Run trains to the end and writes the model, the classifier and the result, or until ctx ends, when it leaves a checkpoint.
func (r *ThreePhase) Run(ctx context.Context) (*ThreePhaseResult, error) {
	r.watch = startWatch()
	failed := r.saveCost() // also finds out now, and not after an epoch, that the directory cannot be written
	if failed != nil {
		return nil, failed
	}
	r.Trainer.EpochDone = func(e qat.Epoch) {
		failed = errors.Join(failed, r.saveCost())
		if r.EpochDone != nil {
			r.EpochDone(e)
		}
	}
	if err := r.Trainer.Run(ctx); err != nil {
		return nil, errors.Join(err, r.saveCost())
	}
	if failed != nil {
		return nil, failed
	}
	return r.finish()
}

func (r *ThreePhase) saveCost() error {
	return writeJSON(filepath.Join(r.Dir, costFile), r.spent.Add(r.watch.cost()))
}

func (r *ThreePhase) finish() (*ThreePhaseResult, error) {
	t := r.Trainer
	out := &ThreePhaseResult{
		Experiment: "cajq-3phase", Config: t.Config, Parameters: t.Model.Params.Count(), Environment: r.Environment,
		Cost: r.spent.Add(r.watch.cost()), Model: ModelFile, Epochs: t.Epochs, Steps: t.Steps,
	}
	if r.Classifier != nil {
		out.Classifier = ClassifierFile
		if err := r.Classifier.Save(filepath.Join(r.Dir, ClassifierFile)); err != nil {
			return nil, err
		}
	}
	if err := t.Quantised.Save(filepath.Join(r.Dir, ModelFile)); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(r.Dir, threePhaseFile), out); err != nil {
		return nil, err
	}
	for _, name := range []string{CheckpointFile, costFile} { // all is on disk: they have served
		if err := os.Remove(filepath.Join(r.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return out, nil
}
