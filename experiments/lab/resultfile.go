package lab

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
)

// ResultFile is where a run keeps its result, for the registered runs and for those of a command of its own.
type ResultFile struct {
	path string
	of   Experiment
	head result.Result // what does not change while it runs
	// own says that a command of its own writes the file: the driver holds the lock of its results itself.
	own bool
	// note, if any, is a line for users about what an earlier call began with.
	Note string

	mu    sync.Mutex
	spent result.Cost // by an earlier, unfinished run
	Watch Stopwatch   // of this run
}

// NewResultFile is the file at path for a run of e with the given settings and inputs.
func NewResultFile(e Experiment, profile string, settings any, inputs map[string]string, path string,
	env result.Environment) (*ResultFile, error) {
	f := &ResultFile{path: path, Watch: StartWatch(), of: e, head: result.Result{
		Schema: result.Schema, Experiment: e.Name, Profile: profile, Version: e.Version, Inputs: inputs, Environment: env,
		Protocol: cmp.Or(e.Protocol.Of(Profile(profile)), "as described in the experiment's section of the report"),
	}}
	return f, f.Settle(e, settings)
}

// Settle changes the settings of the run, before it has written anything, to those that it proves to have begun with.
func (f *ResultFile) Settle(e Experiment, settings any) error {
	config, err := json.Marshal(settings)
	if err != nil {
		return fmt.Errorf("%s: settings: %w", e.Name, err)
	}
	f.head.Config = config
	f.head.Key, err = keyOf(e, f.head.Profile, config, f.head.Inputs)
	return err
}

// keyOf is the content address of a result.
func keyOf(e Experiment, profile string, config json.RawMessage, inputs map[string]string) (string, error) {
	text, err := json.Marshal(struct {
		Experiment string            `json:"experiment"`
		Version    int               `json:"version"`
		Profile    string            `json:"profile"`
		Config     any               `json:"config"`
		Inputs     map[string]string `json:"inputs"`
	}{e.Name, e.Version, profile, Canonical(config), inputs}) // maps are written in the order of their keys
	if err != nil {
		return "", fmt.Errorf("%s: settings: %w", e.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Hold keeps other processes from writing the file until release is called, and removes what killed ones left of it and
// of the files beside it.
func (f *ResultFile) Hold() (release func(), err error) {
	if !f.own {
		return func() {}, nil
	}
	if err := prepareFolder(filepath.Dir(f.path)); err != nil {
		return nil, err
	}
	if release, err = lockResult(f.path); err != nil {
		return nil, err
	}
	swept := errors.Join(files.Sweep(f.path), files.SweepFolder(WorkFolder(f.path)))
	for _, name := range f.of.Files {
		swept = errors.Join(swept, files.Sweep(filepath.Join(filepath.Dir(f.path), name)))
	}
	if swept != nil {
		release()
		return nil, swept
	}
	return release, nil
}

// Write replaces the file by what o holds.
func (f *ResultFile) Write(o *Outcome, complete bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.head
	r.Complete, r.Seeds, r.Measurements, r.Protocol = complete, o.Seeds, o.Measurements, sentences(r.Protocol, o.Notes)
	if r.Profile != string(Strong) { // whose model is not the paper's
		r.Measurements = f.of.WithPublished(o)
	}
	r.Cost = f.spent.Add(f.Watch.Cost())
	if o.Cost != nil {
		r.Cost = *o.Cost
	}
	if o.Environment != nil {
		r.Environment = *o.Environment
	}
	r.Environment.Commit = cmp.Or(r.Environment.Commit, "unknown")
	if complete {
		outputs, err := f.outputs()
		if err != nil {
			return err
		}
		r.Outputs = outputs
	}
	if o.Details != nil {
		details, err := json.Marshal(o.Details)
		if err != nil {
			return fmt.Errorf("%s: details: %w", r.Experiment, err)
		}
		r.Details = details
	}
	return result.Write(f.path, &r)
}

// outputs are the SHA-256 of the files that the run left beside the result.
func (f *ResultFile) outputs() (map[string]string, error) {
	sums := map[string]string{}
	for _, name := range f.of.Files {
		sum, err := files.HashFile(filepath.Join(filepath.Dir(f.path), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a command of its own may do a part only
		}
		if err != nil {
			return nil, err
		}
		sums[name] = sum
	}
	return sums, nil
}

// job is a run that keeps its result in f and tells nothing.
func (f *ResultFile) job(settings any, env result.Environment) *Job {
	return &Job{
		Profile: Profile(f.head.Profile), Dir: filepath.Dir(f.path), Environment: env, Settings: settings, Whole: settings,
		Path: f.path, Output: f, Line: func(string, ...any) {}, Detail: func(string, ...any) {}, Progress: func(int, int) {},
		Step: func(int, int, float64, int) {}, save: func(o *Outcome) error { return f.Write(o, false) },
		folder: func(experiment string) string { return experiment },
	}
}

// Work is a folder for the working files of a run that may be stopped and continue, beside the result. It is empty
// where the files of an earlier run were of other settings or inputs, and is removed when the result is complete. That
// of a command of its own, whose settings may grow, is kept: what a checkpoint is of, its training finds out.
func (j *Job) Work() (string, error) {
	dir := WorkFolder(j.Path)
	mark := filepath.Join(dir, "key")
	of, err := workKey(j.Path)
	if err != nil {
		return "", err
	}
	switch {
	case j.Output.own:
	case of != "" && of == j.Output.head.Key:
		return dir, nil
	case of != "":
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	if err := files.MakeFolder(dir); err != nil {
		return "", fmt.Errorf("cannot make %s: %w", dir, files.Cause(err))
	}
	if j.Output.own {
		return dir, nil
	}
	return dir, files.Write(mark, []byte(j.Output.head.Key))
}

// MaxNote is the most that a file of our own notes may have, in bytes.
const MaxNote = 1 << 20

// workKey is the key of the run whose working files are beside the result at path; "" if there are none.
func workKey(path string) (string, error) {
	mark, err := files.Read(filepath.Join(WorkFolder(path), "key"), MaxNote)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return string(mark), nil
}

// WorkFolder is where the working files of a run are that keeps its result at path.
func WorkFolder(path string) string { return path + ".work" }

// HashFiles are the SHA-256 of files, by the same names as their paths.
func HashFiles(paths map[string]string) (map[string]string, error) {
	sums := map[string]string{}
	for name, path := range paths {
		sum, err := files.HashFile(path)
		if err != nil {
			return nil, err
		}
		sums[name] = sum
	}
	return sums, nil
}
