package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
)

// setAside renames the files in dir that a run of e would replace although no run of it wrote them: a user's own of the
// same name, or one that was changed since. before is the result that the run replaces, nil without one. It tells each
// of them.
func (d *Driver) setAside(e Experiment, before *result.Result, line func(format string, args ...any)) error {
	dir := filepath.Join(d.Root, e.Folder)
	for _, name := range slices.Concat(e.Files, e.Extras) {
		path := filepath.Join(dir, name)
		ours, err := wroteFile(path, name, before)
		if err != nil {
			return err
		}
		if ours {
			continue
		}
		kept, err := files.SetAside(path)
		if err != nil {
			return fmt.Errorf("%s is not of a run of %s, and cannot be moved out of its way: %w", path, e.Name, files.Cause(err))
		}
		line("%s is not of a run of %s: it is now %s", path, e.Name, kept)
	}
	return nil
}

// SetOthersAside renames the file at path, if there is one, and tells it, unless its SHA-256 is that of what was left
// there.
func SetOthersAside(path, left string, line func(format string, args ...any)) error {
	sum, err := HashFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && sum == left {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s cannot be read, and would be replaced: %w; move it away", path, files.Cause(err))
	}
	kept, err := files.SetAside(path)
	if err != nil {
		return fmt.Errorf("%s is of another run, and cannot be moved out of the way: %w", path, files.Cause(err))
	}
	line("%s is of another run: it is now %s", path, kept)
	return nil
}

// wroteFile says whether a file is one that the run of the result before left, or is not there.
func wroteFile(path, name string, before *result.Result) (bool, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	if before == nil || !before.Complete {
		return false, nil
	}
	want, known := before.Outputs[name]
	if !known {
		return true, nil // one of its extras, or of an earlier program, which did not say
	}
	sum, err := HashFile(path)
	if err != nil {
		return false, fmt.Errorf("%s cannot be read, and a run would replace it: %w; move it away", path, files.Cause(err))
	}
	return sum == want, nil
}

// continues says whether a run of e has unfinished work in dir whose files it takes up: its result, its working files,
// or the checkpoint of a training.
func continues(f *ResultFile, state State) (bool, error) {
	if state == Unfinished {
		return true, nil
	}
	mark, err := workKey(f.path)
	if err != nil || mark != "" && mark == f.head.Key {
		return true, err
	}
	_, err = os.Stat(filepath.Join(filepath.Dir(f.path), CheckpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return true, err
}
