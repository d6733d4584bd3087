package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/synapnet/synapnet-train/internal/metrics"
)

// History is what happened so far: as far as it is known, where a run was resumed whose file of it was gone. A run with
// a checkpoint keeps it in a file beside that: a line a step and a line an evaluation, as they happen.
type History[T, E any] struct {
	Steps       []T `json:"steps"`
	Evaluations []E `json:"evaluations"`
}

// begin brings the history's file to where the run stands, before anything is computed. A run that has none yet,
// because it begins, or its file is gone, or its checkpoint is of a program that kept the history within it, gets one
// with the history that is known. Without a checkpoint there is none.
func (l *Loop[S, T, E]) begin() error {
	if l.CheckpointPath == "" {
		return nil
	}
	if l.log != nil {
		return l.log.Open()
	}
	log := metrics.New(metrics.Beside(l.CheckpointPath))
	if lost := l.done - len(l.History.Steps); lost > 0 {
		if err := log.Add(metrics.LostKind, map[string]int{"steps": lost}); err != nil {
			return err
		}
	}
	if err := l.History.replay(l.form, log.Add); err != nil {
		return err
	}
	l.log = log
	return log.Open()
}

// restoreHistory reads the history of a run that is resumed, up to a checkpoint's mark. Where its file is gone the run
// can go on without, with a warning.
func (l *Loop[S, T, E]) restoreHistory(at metrics.Mark) error {
	path := metrics.Beside(l.CheckpointPath)
	err := metrics.Read(path, at, l.History.add)
	if errors.Is(err, fs.ErrNotExist) {
		l.Warnings = append(l.Warnings,
			fmt.Sprintf("%s is gone: the run goes on, and its history begins at step %d", path, l.done+1))
		if l.evaluated > 0 && l.form.ends(l.done) && !l.due() {
			l.evaluated-- // the last evaluation is gone too: it is made again, so that a run always ends with one
		}
		return nil
	}
	if err == nil {
		l.log = metrics.Continue(path, at)
	}
	return err
}

// replay gives the history line by line, in the order in which it came about.
func (h *History[T, E]) replay(form Form, add func(kind string, v any) error) error {
	evaluations := h.Evaluations
	for i, s := range h.Steps {
		if err := add(metrics.StepKind, s); err != nil {
			return err
		}
		if len(evaluations) > 0 && form.ends(i+1) {
			if err := add(metrics.EvaluationKind, evaluations[0]); err != nil {
				return err
			}
			evaluations = evaluations[1:]
		}
	}
	return nil
}

// add takes over a line of a history's file. Lines of a kind that is not known are of another program's version.
func (h *History[T, E]) add(kind string, text []byte) error {
	switch kind {
	case metrics.StepKind:
		return decode(&h.Steps, text)
	case metrics.EvaluationKind:
		return decode(&h.Evaluations, text)
	}
	return nil
}

// decode appends the value of a line to all of its kind that came before it.
func decode[V any](all *[]V, text []byte) error {
	var v V
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("the history is not valid: line after %d of its kind: %w", len(*all), err)
	}
	*all = append(*all, v)
	return nil
}
