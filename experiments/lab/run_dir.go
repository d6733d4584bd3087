package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/metrics"
)

// Names of the files of a training run in its output directory, besides its result.
const (
	ModelFile      = "model.safetensors"      // the trained weights, at the end
	CheckpointFile = "checkpoint.safetensors" // weights, optimiser and position, until the end
	ClassifierFile = "classifier.safetensors" // the retention classifier that was trained along
	HeadFile       = "head.safetensors"       // the Locret-style head
	PretrainFile   = "pretrain.json"          // the result of a pretraining
	LockFile       = ".run.lock"              // that the process which trains holds
	costFile       = "cost.json"              // of the sessions so far, until the end
)

// Names of the pictures of a pretraining run.
const (
	CurvesSVG = "curves.svg"
	CurvesPNG = "curves.png"
)

// RunFiles are the files that a training run with a result of the given name may write in its output directory, at one
// time or another.
func RunFiles(resultName string) []string {
	return []string{CheckpointFile, ModelFile, resultName, ClassifierFile, costFile, CurvesSVG, CurvesPNG, metrics.Name,
		metrics.EventsName}
}

// RunDir is the output directory of a training run and what the run has cost.
type RunDir struct {
	Dir   string
	spent result.Cost // in earlier sessions
	Watch Stopwatch

	release func() // of the lock that this run holds; nil without one
}

// Path is that of a file in the directory.
func (d *RunDir) Path(name string) string { return filepath.Join(d.Dir, name) }

// refuseRun is the error of a directory that holds a run already, its checkpoint, its model or its result, or another
// file that a run would replace.
func (d *RunDir) refuseRun(resultName string) error {
	for _, name := range RunFiles(resultName) {
		info, err := os.Stat(d.Path(name))
		switch {
		case err != nil:
			continue
		case name == costFile && d.ReadCost() == nil: // killed before its first checkpoint
			d.spent = result.Cost{}
			continue
		case name == metrics.Name && info.Size() == 0: // likewise
			continue
		}
		holds, mend := "a finished run", "give another --output-dir"
		switch name {
		case CheckpointFile:
			holds, mend = "a run", "continue it with --resume, or give another --output-dir"
		case metrics.Name, metrics.EventsName:
			holds = "the history of a run without its checkpoint"
		}
		return fmt.Errorf("output directory %s already holds %s (%s): %s", d.Dir, holds, name, mend)
	}
	return nil
}

// Lock keeps other processes from training in the directory, so that no two write one checkpoint, until unlock is
// called or the process ends.
func (d *RunDir) Lock() error {
	if d.release != nil {
		return nil
	}
	release, held, err := files.Lock(d.Path(LockFile))
	if err == nil && !held {
		err = fmt.Errorf("another process is training in %s: wait for it, stop it, or give another --output-dir", d.Dir)
	}
	d.release = release
	if err != nil {
		return err
	}
	if err := files.SweepFolder(d.Dir); err != nil { // what a killed run left
		d.Unlock()
		return err
	}
	return nil
}

// Unlock gives the directory free again.
func (d *RunDir) Unlock() {
	if d.release != nil {
		d.release()
		d.release = nil
	}
}

// Claim makes the directory and locks it for a new run. One that holds a run already is refused.
func (d *RunDir) Claim(resultName string) error {
	if err := d.create(); err != nil {
		return err
	}
	if err := d.Lock(); err != nil {
		return err
	}
	if err := d.refuseRun(resultName); err != nil {
		d.Unlock()
		return err
	}
	return nil
}

func (d *RunDir) create() error {
	if err := files.MakeFolder(d.Dir); err != nil {
		return fmt.Errorf("cannot make output directory %s: %w", d.Dir, files.Cause(err))
	}
	return nil
}

// Checkpoint is the path of the checkpoint to resume from; an error says why there is none.
func (d *RunDir) Checkpoint() (string, error) {
	path := d.Path(CheckpointFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(d.Path(ModelFile)); err == nil {
			return "", errors.Join(fmt.Errorf("the run in %s has ended: its weights are in %s", d.Dir, ModelFile), d.tidy())
		}
		return "", fmt.Errorf("there is no checkpoint %s to resume: leave out --resume to begin a run, or give the "+
			"--output-dir of one", path)
	}
	return path, nil
}

// tidy removes what a run leaves that was killed when it had its model and all but removed the rest.
func (d *RunDir) tidy() error {
	if err := d.Lock(); err != nil {
		return err
	}
	defer d.Unlock()
	if d.ReadCost() != nil {
		return nil // it is not ours
	}
	return d.End()
}

// ReadCost takes over the cost of the sessions before. There is none of a run that was killed before its first step
// that counts.
func (d *RunDir) ReadCost() error {
	text, err := files.Read(d.Path(costFile), MaxNote)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &d.spent)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; delete it to resume without the time spent so far", d.Path(costFile), files.Cause(err))
	}
	return nil
}

// Cost is that of all sessions until now.
func (d *RunDir) Cost() result.Cost { return d.spent.Add(d.Watch.Cost()) }

// SaveCost writes what all sessions took until now beside the checkpoint.
func (d *RunDir) SaveCost() error { return files.WriteJSON(d.Path(costFile), d.Cost()) }

// End removes what only a run that goes on needs. The model is complete and on disk: the optimiser's state, three times
// its size, has served.
func (d *RunDir) End() error { return removeFiles(d.Path(CheckpointFile), d.Path(costFile)) }
