package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/result"
)

// Joint are settings of which one result may hold several: the cells of all.
type Joint[S any] interface {
	// Join gives the settings of all that is in a file after a run with these settings on one with held, and held with
	// what may be added to a file as whole has it: if the rest differs, they cannot share one.
	Join(held S) (whole, rest S)
}

// Standalone is a run of e by a command of its own, with settings from its command line, that keeps its result at path.
// inputs are the files that it reads, by their names in Inputs: Job.File finds them. What a result that is there
// already holds continues: with the keys of samples that it began with, and if the settings are Joint, together with
// theirs. A result of another experiment, base model or settings is refused. Without the file's folder it is made.
func Standalone(e Experiment, settings any, inputs map[string]string, path string,
	env result.Environment) (*Job, *ResultFile, error) {
	before, err := e.held(path)
	if err != nil {
		return nil, nil, err
	}
	sums, err := HashFiles(inputs)
	if err != nil {
		return nil, nil, err
	}
	whole, note := settings, ""
	if before != nil && e.join != nil {
		began := keysOf(before.Config)
		note = KeysNote(path, keysOf(settings), began)
		var rest any
		if settings, whole, rest, err = e.join(settings, before.Config); err != nil {
			return nil, nil, &result.Invalid{Path: path, Problem: "config: " + err.Error()}
		}
		if modelSum(before.Inputs) != modelSum(sums) {
			return nil, nil, fmt.Errorf("%s holds results of another base model: %s", path, e.Apart)
		}
		if !SameButKeys(rest, whole) {
			return nil, nil, fmt.Errorf("%s holds results of other settings (%s): %s", path, differ(rest, whole), e.Apart)
		}
	}
	f, err := NewResultFile(e, e.ProfileOf(whole), whole, sums, path, env)
	if err != nil {
		return nil, nil, err
	}
	f.own = true
	j := f.job(settings, env)
	j.Whole, j.inputs, j.before = whole, inputs, before
	if before != nil {
		f.follow(before)
		f.Note = strings.Trim(note+"; "+f.Note, "; ")
	}
	return j, f, nil
}

// differ says how the settings of a file differ from those wanted.
func differ(held, wanted any) string {
	all, err := differences(Canonical(held), Canonical(wanted))
	if err != nil {
		return err.Error()
	}
	var texts []string
	for _, d := range all {
		texts = append(texts, fmt.Sprintf("%s %s, not %s", d.key, d.was, d.now))
	}
	return strings.Join(texts, "; ")
}

// held is the result of e at path, with details in the form of today's program; nil without one.
func (e Experiment) held(path string) (*result.Result, error) {
	r, err := result.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case r.Experiment != e.Name:
		return nil, fmt.Errorf("%s holds results of %s: move it away or give another --output", path, r.Experiment)
	}
	return e.today(r)
}

// pretrained is what the names of files of the pretraining begin with among inputs.
const pretrained = "pretrain/"

// modelSum is the SHA-256 of the pretrained model among inputs, "" without one.
func modelSum(inputs map[string]string) string {
	for name, sum := range inputs {
		if strings.HasPrefix(name, pretrained) {
			return sum
		}
	}
	return ""
}

// ModelInputs are the pretrained model at path, and the result of its pretraining where that is beside it: the inputs
// that a registered experiment has which needs pretrain.
func ModelInputs(path string) map[string]string {
	inputs := map[string]string{pretrained + ModelFile: path}
	beside := filepath.Join(filepath.Dir(path), PretrainFile)
	if _, err := os.Stat(beside); err == nil {
		inputs["pretrain"] = beside
	}
	return inputs
}

// Run carries out a job of Standalone for e and gives its result. No other process writes that meanwhile. When ctx
// ends, what is finished is in the result and a training under way in its checkpoint: the next run continues from both.
func (j *Job) Run(ctx context.Context, e Experiment) (*result.Result, error) {
	release, err := j.Output.Hold()
	if err != nil {
		return nil, err
	}
	defer release()
	defer func() { _ = os.Remove(WorkFolder(j.Path)) }() // succeeds when it is empty
	o, err := e.Run(ctx, j)
	if err != nil {
		return nil, err
	}
	if err := j.Output.Write(o, !o.Partial); err != nil {
		return nil, err
	}
	return result.Read(j.Path)
}
