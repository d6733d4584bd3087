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
	for _, name := range slices.Concat(e.Files, e.Extras) {
		left := ""
		if before != nil && before.Complete {
			var known bool
			if left, known = before.Outputs[name]; !known {
				continue // one of its extras, or of an earlier program, which did not say
			}
		}
		path := filepath.Join(d.Root, e.Folder, name)
		if err := setAsideUnless(path, left, "is not of a run of "+e.Name, line); err != nil {
			return err
		}
	}
	return nil
}

// SetOthersAside renames the file at path, if there is one, and tells it, unless its SHA-256 is that of what was left
// there.
func SetOthersAside(path, left string, line func(format string, args ...any)) error {
	return setAsideUnless(path, left, "is of another run", line)
}

// setAsideUnless renames the file at path, if there is one, and tells why, unless its SHA-256 is left; "" is of none.
func setAsideUnless(path, left, why string, line func(format string, args ...any)) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if left != "" {
		sum, err := files.HashFile(path)
		if err != nil {
			return fmt.Errorf("%s cannot be read, and would be replaced: %w; move it away", path, files.Cause(err))
		}
		if sum == left {
			return nil
		}
	}
	kept, err := files.SetAside(path)
	if err != nil {
		return fmt.Errorf("%s %s, and cannot be moved out of the way: %w", path, why, files.Cause(err))
	}
	line("%s %s: it is now %s", path, why, kept)
	return nil
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
