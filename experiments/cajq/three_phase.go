package cajq

import (
	"context"
	"errors"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// ThreePhaseFile is the result of a three-phase run, beside ModelFile, the model with its quantisers, and ClassifierFile.
const ThreePhaseFile = "cajq-3phase.json"

// ThreePhase is one run of the three-phase trainer (SPEC section 4) in an output directory, with a retention classifier
// trained along if lambda_baee is above 0.
type ThreePhase struct {
	Trainer     *qat.ThreePhase
	Classifier  *baee.Classifier // nil: none
	Environment result.Environment
	EpochDone   func(qat.Epoch) // may be nil

	lab.RunDir
}

// ThreePhaseResult is what a finished run leaves in cajq-3phase.json.
type ThreePhaseResult struct {
	Experiment  string               `json:"experiment"`
	Config      qat.ThreePhaseConfig `json:"config"`
	Parameters  int                  `json:"parameters"`
	Environment result.Environment   `json:"environment"`
	Cost        result.Cost          `json:"cost"`
	Model       string               `json:"model"`                // file name of the model with its quantisers
	Classifier  string               `json:"classifier,omitempty"` // file name of the retention classifier
	Epochs      []qat.Epoch          `json:"epochs"`               // of a very long run a part
	Steps       []qat.Step           `json:"steps"`                // the same
	Kernels     graph.KernelHistory  `json:"kernels,omitempty"`    // of the steps
}

// NewThreePhase prepares a run from its beginning, from a copy of base or, if that is nil, from initial weights. A directory
// that holds a run already is refused.
func NewThreePhase(c qat.ThreePhaseConfig, base *layers.Model, dir string, env result.Environment) (*ThreePhase, error) {
	t, err := qat.NewThreePhase(c, base)
	if err != nil {
		return nil, err
	}
	r := &ThreePhase{Environment: env, RunDir: lab.RunDir{Dir: dir}}
	t.CheckpointPath = r.Path(lab.CheckpointFile)
	if err := r.join(t); err != nil {
		return nil, err
	}
	if err := r.Claim(ThreePhaseFile); err != nil {
		return nil, err
	}
	return r, nil
}

// ReadThreePhaseConfig is the configuration of the run in dir that ResumeThreePhase would continue. Of the checkpoint no more
// than the header is read.
func ReadThreePhaseConfig(dir string) (qat.ThreePhaseConfig, error) {
	d := lab.RunDir{Dir: dir}
	path, err := d.Checkpoint()
	if err != nil {
		return qat.ThreePhaseConfig{}, err
	}
	return qat.ReadThreePhaseConfig(path)
}

// ResumeThreePhase continues the run in dir from its last checkpoint.
func ResumeThreePhase(dir string, env result.Environment) (*ThreePhase, error) {
	r := &ThreePhase{Environment: env, RunDir: lab.RunDir{Dir: dir}}
	path, err := r.Checkpoint()
	if err != nil {
		return nil, err
	}
	t, err := qat.ResumeThreePhase(path)
	if err != nil {
		return nil, err
	}
	if err := r.join(t); err != nil {
		return nil, err
	}
	if err := r.ReadCost(); err != nil {
		return nil, err
	}
	return r, nil
}

// join makes t the trainer, with the classifier, whose initial weights belong to the run's seed.
func (r *ThreePhase) join(t *qat.ThreePhase) error {
	r.Trainer = t
	if t.Config.LambdaBAEE == 0 {
		return nil
	}
	var err error
	if r.Classifier, err = baee.NewClassifier(t.Config.Model.Dim, baee.DefaultHidden, t.Config.Seed); err != nil {
		return err
	}
	return t.Join(RetentionLoss(r.Classifier, t.Model))
}

// Run trains to the end and writes the model, the classifier and the result, or until ctx ends, when it leaves a checkpoint.
func (r *ThreePhase) Run(ctx context.Context) (*ThreePhaseResult, error) {
	if err := r.Lock(); err != nil {
		return nil, err
	}
	defer r.Unlock()
	r.Watch = lab.StartWatch()
	failed := r.SaveCost() // also finds out now, and not after an epoch, that the directory cannot be written
	if failed != nil {
		return nil, failed
	}
	r.Trainer.Hooks.Evaluation = func(e qat.Epoch) {
		failed = errors.Join(failed, r.SaveCost())
		if r.EpochDone != nil {
			r.EpochDone(e)
		}
	}
	if err := r.Trainer.Run(ctx); err != nil {
		return nil, errors.Join(err, r.SaveCost())
	}
	if failed != nil {
		return nil, failed
	}
	return r.finish()
}

func (r *ThreePhase) finish() (*ThreePhaseResult, error) {
	t := r.Trainer
	out := &ThreePhaseResult{
		Experiment: "cajq-3phase", Config: t.Config, Parameters: t.Model.Params.Count(), Environment: r.Environment,
		Cost: r.Cost(), Model: lab.ModelFile, Epochs: lab.ThinTo(lab.MostEvaluations, t.Evaluations), Steps: lab.Thin(t.Steps), Kernels: t.Kernels,
	}
	if r.Classifier != nil {
		out.Classifier = lab.ClassifierFile
		if err := r.Classifier.Save(r.Path(lab.ClassifierFile)); err != nil {
			return nil, err
		}
	}
	if err := t.Quantised.Save(r.Path(lab.ModelFile)); err != nil {
		return nil, err
	}
	if err := files.WriteJSON(r.Path(ThreePhaseFile), out); err != nil {
		return nil, err
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	return out, nil
}
