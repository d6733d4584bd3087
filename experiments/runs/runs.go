// Package runs finds trainings in folders and tells how each one stands, from the headers of its files and the end of
// its history: a thousand of them in a second, those that go on included.
package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/gjson"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/qat"
)

// State is how a run stands.
type State string

// The states of a run.
const (
	Running    State = "running"    // a process trains in the folder
	Unfinished State = "unfinished" // it can be resumed
	Finished   State = "finished"
	Diverged   State = "diverged"   // its loss or gradients were no longer finite
	Unreadable State = "unreadable" // Problem says why
)

// Run is the folder of a training.
type Run struct {
	Dir     string `json:"dir"`
	Command string `json:"command"` // that made it; "" where only a model is left
	State   State  `json:"state"`
	// Steps of the optimiser that are done, of how many; 0: not known. Of a run that does not go on, those in its
	// checkpoint count, from which it would be resumed.
	Done  int `json:"steps"`
	Total int `json:"total_steps"`
	// Accuracy, over all tasks, is that of the last evaluation; nil: none yet.
	Accuracy *curriculum.Accuracy `json:"accuracy"`
	Settings map[string]string    `json:"settings"` // by key, as group.key
	Problem  string               `json:"problem,omitempty"`
}

// resultFiles are the results that trainings leave, by the command that does.
var resultFiles = map[string]string{"pretrain": lab.PretrainFile, "cajq-3phase": "cajq-3phase.json"}

// Find lists the runs in a folder and those below, in the order of their names: folders with a checkpoint, a result or
// a model. Hidden folders are left out. Errors are those of the folder itself; one of a run is its Problem.
func Find(folder string) ([]Run, error) {
	var dirs []string
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && path == folder:
			return err
		case err != nil:
			return nil // a folder that may not be read, or that is gone meanwhile
		case e.IsDir() && path != folder && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case !e.IsDir() && path == folder:
			return fmt.Errorf("it is no folder")
		case !e.IsDir() && isOfRun(e.Name()):
			if dir := filepath.Dir(path); !slices.Contains(dirs[max(0, len(dirs)-1):], dir) {
				dirs = append(dirs, dir)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list %s: %w", folder, files.Cause(err))
	}
	slices.Sort(dirs)
	return readAll(slices.Compact(dirs)), nil
}

func isOfRun(name string) bool {
	return name == lab.CheckpointFile || name == lab.ModelFile ||
		slices.Contains(slices.Collect(maps.Values(resultFiles)), name)
}

// readAll reads several runs at a time.
func readAll(dirs []string) []Run {
	all := make([]Run, len(dirs))
	next := make(chan int)
	var work sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for i := range next {
				all[i] = Read(dirs[i])
			}
		})
	}
	for i := range dirs {
		next <- i
	}
	close(next)
	work.Wait()
	return all
}

// Read tells how the run in a folder stands.
func Read(dir string) Run {
	r := Run{Dir: dir, State: Finished}
	if err := r.read(); err != nil {
		r.State, r.Problem = Unreadable, err.Error()
	}
	return r
}

func (r *Run) read() error {
	going, err := files.Locked(filepath.Join(r.Dir, lab.LockFile))
	if err != nil {
		return err
	}
	end, err := endOf(filepath.Join(r.Dir, metrics.Name))
	if err != nil {
		return err
	}
	r.Done, r.Accuracy = end.step, end.accuracy
	metadata, err := safetensors.ReadMetadata(filepath.Join(r.Dir, lab.CheckpointFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r.readResult()
	case err != nil:
		return err
	}
	position := gjson.Parse(metadata[train.Key])
	r.describe(position.Get("config"))
	switch {
	case going:
		r.State = Running
		return nil
	case end.diverged:
		r.State = Diverged
	default:
		r.State = Unfinished
	}
	r.Done = int(position.Get("done").Int())
	return nil
}

// mostHead is how much of a result is read: its settings stand at its beginning.
const mostHead = 64 << 10

// readResult takes the settings of a finished run from its result, if there is one.
func (r *Run) readResult() error {
	for _, name := range resultFiles {
		file, err := files.Open(filepath.Join(r.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		head, err := io.ReadAll(io.LimitReader(file, mostHead))
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		r.describe(gjson.GetBytes(head, "config"))
		if r.Done == 0 {
			r.Done = r.Total // it is finished, and its history gone
		}
		return nil
	}
	return nil
}

// describe takes a run's settings, and what follows from them.
func (r *Run) describe(config gjson.Result) {
	r.Settings = map[string]string{}
	flatten(r.Settings, "", config)
	switch {
	case config.Get("curriculum").Exists():
		r.Command = "pretrain"
		var c curriculum.Config
		if json.Unmarshal([]byte(config.Raw), &c) == nil {
			r.Total, _ = c.TotalSteps() // 0 where that cannot be said
		}
	case config.Get("cooldown").Exists():
		r.Command = "cajq-3phase"
		var c qat.ThreePhaseConfig
		if json.Unmarshal([]byte(config.Raw), &c) == nil {
			r.Total, _ = c.TotalSteps()
		}
	}
}

// flatten notes each value of a configuration under its key.
func flatten(all map[string]string, prefix string, of gjson.Result) {
	of.ForEach(func(key, value gjson.Result) bool {
		if value.IsObject() {
			flatten(all, prefix+key.String()+".", value)
			return true
		}
		all[prefix+key.String()] = value.Get("@ugly").String()
		return true
	})
}

// end is what the last lines of a history say.
type end struct {
	step     int
	accuracy *curriculum.Accuracy
	diverged bool
}

// How much of a history's end is read: first a little, and then, while there is no evaluation in it, more.
const leastTail, mostTail = 16 << 10, 4 << 20

// endOf reads the end of the history at path; that of none is empty.
func endOf(path string) (e end, err error) {
	file, err := files.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return e, err
	}
	for tail := int64(leastTail); ; tail *= 16 {
		from := max(0, info.Size()-tail)
		text := make([]byte, info.Size()-from)
		if _, err := file.ReadAt(text, from); err != nil && !errors.Is(err, io.EOF) {
			return e, err
		}
		if e = ofLines(text); e.accuracy != nil || from == 0 || tail >= mostTail {
			return e, nil
		}
	}
}

// ofLines looks at whole lines, of which the first may have lost its beginning and the last its end.
func ofLines(text []byte) (e end) {
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	last := true
	for line := range backward(text) {
		if !bytes.HasPrefix(line, []byte("{")) {
			break
		}
		if e.step > 0 && bytes.HasPrefix(line, []byte(`{"kind":"`+metrics.StepKind+`"`)) {
			continue
		}
		row := gjson.ParseBytes(line)
		switch row.Get("kind").String() {
		case metrics.DivergedKind:
			e.diverged = last
		case metrics.StepKind:
			e.step = max(e.step, int(row.Get("step").Int()))
		case metrics.EvaluationKind:
			var a curriculum.Accuracy
			if json.Unmarshal([]byte(metrics.Accuracies(row).Get(curriculum.Overall).Raw), &a) == nil && e.accuracy == nil {
				e.accuracy = &a
			}
		}
		if last = false; e.step > 0 && e.accuracy != nil {
			break
		}
	}
	return e
}

// backward are the lines of a text from its end.
func backward(text []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(text) > 0 {
			text = text[:len(text)-1]
			from := bytes.LastIndexByte(text, '\n') + 1
			if !yield(text[from:]) {
				return
			}
			text = text[:from]
		}
	}
}

// Differing are, for each run, the settings, as "key value", that are not those of all runs of its command.
func Differing(all []Run) []string {
	same := map[string]map[string]string{} // by command; the settings that all runs so far have
	for _, r := range all {
		if same[r.Command] == nil {
			same[r.Command] = maps.Clone(r.Settings)
			continue
		}
		maps.DeleteFunc(same[r.Command], func(key, value string) bool {
			own, ok := r.Settings[key]
			return !ok || own != value
		})
	}
	lines := make([]string, len(all))
	for i, r := range all {
		var own []string
		for _, key := range slices.Sorted(maps.Keys(r.Settings)) {
			if _, ok := same[r.Command][key]; !ok {
				own = append(own, key+" "+r.Settings[key])
			}
		}
		lines[i] = strings.Join(own, ", ")
	}
	return lines
}
