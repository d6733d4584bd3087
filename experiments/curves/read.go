// Package curves draws how trainings went: loss, learning rate, accuracy by task with intervals; of one run, or of
// several beside each other, those that are under way included.
package curves

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tidwall/gjson"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/metrics"
)

// Run is what is drawn of a training.
type Run struct {
	Name        string
	Steps       []Step
	Evaluations []Evaluation
	Published   map[string]float64 // accuracies by task at the end, drawn as crosses
}

// Step is one of the optimiser's.
type Step struct {
	Step     int
	Loss, LR float64
}

// Evaluation is one after so many steps.
type Evaluation struct {
	Step int
	curriculum.Evaluation
}

// mostResult is the most that a result may have, in bytes, whose history is read.
const mostResult = 64 << 20

// Read takes a run's history from its folder, or from a file metrics.jsonl. A history that is being written ends with
// its last whole line. Of a run whose file is gone it is the part that its result holds.
func Read(path string) (Run, error) {
	r := Run{Name: path}
	file := path
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		file = filepath.Join(path, metrics.Name)
	}
	err := r.readLines(file)
	if errors.Is(err, fs.ErrNotExist) && file != path {
		err = r.readResult(filepath.Join(path, lab.PretrainFile))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, fmt.Errorf("%s: there is no %s: name the folder of a training", path, metrics.Name)
	case err != nil:
		return r, fmt.Errorf("cannot read the history of %s: %w", path, files.Cause(err))
	case len(r.Steps) == 0:
		return r, fmt.Errorf("%s: its history has no step yet", path)
	}
	return r, nil
}

func (r *Run) readLines(path string) (err error) {
	file, err := files.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	in := bufio.NewReaderSize(file, 1<<20)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("line %d is too long", n)
		case err != nil:
			return err
		case !gjson.ValidBytes(line):
			return fmt.Errorf("line %d is not valid JSON", n)
		}
		row := gjson.ParseBytes(line)
		switch row.Get("kind").String() {
		case metrics.StepKind:
			r.addStep(row)
		case metrics.EvaluationKind:
			if err := r.addEvaluation(row); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		}
	}
}

func (r *Run) addStep(row gjson.Result) {
	r.Steps = append(r.Steps, Step{int(row.Get("step").Int()), row.Get("loss").Num, row.Get("lr").Num})
}

// addEvaluation takes one of pretrain's, or of cajq-3phase's, which stands at the last step.
func (r *Run) addEvaluation(row gjson.Result) error {
	e := Evaluation{Step: int(row.Get("step").Int())}
	if e.Step == 0 && len(r.Steps) > 0 {
		e.Step = r.Steps[len(r.Steps)-1].Step
	}
	r.Evaluations = append(r.Evaluations, e)
	return json.Unmarshal([]byte(metrics.Accuracies(row).Raw), &r.Evaluations[len(r.Evaluations)-1].Evaluation)
}

// readResult takes the history from a result of pretrain.
func (r *Run) readResult(path string) (err error) {
	text, err := files.Read(path, mostResult)
	if err != nil {
		return err
	}
	history := gjson.GetBytes(text, "details.history")
	history.Get("steps").ForEach(func(_, row gjson.Result) bool {
		r.addStep(row)
		return true
	})
	history.Get("evaluations").ForEach(func(_, row gjson.Result) bool {
		err = r.addEvaluation(row)
		return err == nil
	})
	return err
}
