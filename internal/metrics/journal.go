package metrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// The kinds of lines that every training has.
const (
	StepKind       = "step"       // of the optimiser
	EvaluationKind = "evaluation" // at the end of an epoch
)

// Decode appends the value of a line of one kind to all that came before it.
func Decode[T any](all *[]T, text []byte) error {
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("the history is not valid: line after %d of its kind: %w", len(*all), err)
	}
	*all = append(*all, v)
	return nil
}

// LostKind is the first line of a history whose beginning was gone when the run was resumed: {"kind":"lost","steps":N}.
const LostKind = "lost"

// Journal is the log of a run that may have a checkpoint. The zero value belongs to a run without one and keeps nothing.
type Journal struct{ log *Log }

// Restore reads the history of a run that is resumed at a checkpoint's mark, after `done` steps, and gives it to see. Where its
// file is gone the run can go on without: warning is a line that says so.
func (j *Journal) Restore(checkpoint string, at Mark, done int, see func(kind string, text []byte) error) (warning string, err error) {
	path := Beside(checkpoint)
	err = Read(path, at, see)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("%s is gone: the run goes on, and its history begins at step %d", path, done+1), nil
	}
	if err == nil {
		j.log = Continue(path, at)
	}
	return "", err
}

// Begin brings the file to where the run stands, before anything is computed. A run that has none yet, because it begins, or
// its file is gone, or its checkpoint is of a program that kept the history within it, gets one with what replay adds; lost
// is the number of steps that are not in it. Without a checkpoint it does nothing.
func (j *Journal) Begin(checkpoint string, lost int, replay func(add func(kind string, v any) error) error) error {
	if checkpoint == "" {
		return nil
	}
	if j.log != nil {
		return j.log.open()
	}
	l := New(Beside(checkpoint))
	if lost > 0 {
		if err := l.Add(LostKind, map[string]int{"steps": lost}); err != nil {
			return err
		}
	}
	if err := replay(l.Add); err != nil {
		return err
	}
	j.log = l
	return l.open()
}

// Add appends a line; see [Log.Add].
func (j *Journal) Add(kind string, v any) error {
	if j.log == nil {
		return nil
	}
	return j.log.Add(kind, v)
}

// Mark is where the journal, which has begun, is now; see [Log.Mark].
func (j *Journal) Mark() (*Mark, error) {
	m, err := j.log.Mark()
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// End closes the file when a run ends, with the error err or none.
func (j *Journal) End(err error) error {
	if j.log == nil {
		return err
	}
	if failed := j.log.Close(); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}
