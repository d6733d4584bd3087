package curriculum

import "github.com/synapnet/synapnet-train/internal/metrics"

// A run with a checkpoint keeps its history in a file beside it, metrics.jsonl: a line a step and a line an evaluation, as
// they happen, without times, so that equal runs give equal files.

// beginMetrics brings the history's file to where the run stands.
func (t *Trainer) beginMetrics() error {
	return t.journal.Begin(t.CheckpointPath, t.done-len(t.History.Steps), t.History.replay)
}

// replay gives the history line by line, in the order in which it came about.
func (h *History) replay(add func(kind string, v any) error) error {
	evaluations := h.Evaluations
	for _, s := range h.Steps {
		for len(evaluations) > 0 && evaluations[0].Step < s.Step {
			if err := add(metrics.EvaluationKind, evaluations[0]); err != nil {
				return err
			}
			evaluations = evaluations[1:]
		}
		if err := add(metrics.StepKind, s); err != nil {
			return err
		}
	}
	for _, e := range evaluations {
		if err := add(metrics.EvaluationKind, e); err != nil {
			return err
		}
	}
	return nil
}

// add takes over a line of a history's file. Lines of a kind that is not known are of another program's version.
func (h *History) add(kind string, text []byte) error {
	switch kind {
	case metrics.StepKind:
		return metrics.Decode(&h.Steps, text)
	case metrics.EvaluationKind:
		return metrics.Decode(&h.Evaluations, text)
	}
	return nil
}
