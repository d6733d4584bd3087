package files

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"unicode/utf8"

	"github.com/gofrs/flock"
)

// A file that is being written is called .synapnet-NAME-0123456789abcdef.tmp, in the folder of NAME, until it is whole.
var temporaryName = regexp.MustCompile(`(?s)^\.synapnet-(.*)-[0-9a-f]{16}\.tmp$`)

// maxBase is how much of NAME is kept, in bytes: file systems take names of 255.
const maxBase = 200

// temporary is a file that is being written. While it is, its writer holds a lock on it, which ends with the process
// however that ends, and which other machines and containers that see the file see as well.
type temporary struct {
	*os.File
	lock    *flock.Flock // nil where there is none to be had
	renamed bool
}

func newTemporary(path string, mode fs.FileMode) (*temporary, error) {
	for {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".synapnet-%s-%016x.tmp", cutBase(filepath.Base(path)),
			rand.Uint64()))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		t := &temporary{File: f}
		if ours, err := t.hold(); err != nil || ours {
			return t, err
		}
		// Somebody swept it between our making and our locking it.
		if err := t.discard(); err != nil {
			return nil, err
		}
	}
}

// hold takes the lock on the file. ours is false if a sweep was faster.
func (t *temporary) hold() (ours bool, err error) {
	if runtime.GOOS == "windows" { // where nobody removes an open file
		return true, nil
	}
	lock := flock.New(t.Name(), flock.SetFlag(os.O_RDONLY))
	held, err := lock.TryLock()
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !held:
		return false, nil
	case err != nil: // a file system without locks: no sweep can have one either, and leaves the file alone
		return true, nil
	}
	t.lock = lock
	mine, err := t.Stat()
	if err != nil {
		return false, errors.Join(err, t.discard())
	}
	there, err := os.Lstat(t.Name())
	return err == nil && os.SameFile(mine, there), nil
}

// discard closes the file, and removes it unless it has become what it was made for.
func (t *temporary) discard() (err error) {
	if runtime.GOOS == "windows" { // where nobody removes an open file
		err = t.close()
	}
	if !t.renamed {
		if gone := os.Remove(t.Name()); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	if runtime.GOOS != "windows" {
		err = errors.Join(err, t.close())
	}
	if t.lock != nil {
		err = errors.Join(err, t.lock.Unlock())
	}
	return err
}

func (t *temporary) close() error {
	if err := t.Close(); !errors.Is(err, fs.ErrClosed) {
		return err
	}
	return nil
}

// cutBase is as much of a file's name as a longer one has room for, in whole runes.
func cutBase(base string) string {
	if len(base) <= maxBase {
		return base
	}
	n := maxBase
	for n > 0 && !utf8.RuneStart(base[n]) {
		n--
	}
	return base[:n]
}

// Sweep removes what killed processes left half-written of the file at path: its temporary files that no process is
// writing.
func Sweep(path string) error {
	target, err := Target(path)
	if err != nil {
		return err
	}
	base := cutBase(filepath.Base(target))
	return sweep(filepath.Dir(target), func(of string) bool { return of == base })
}

// SweepFolder does for every file in a folder of this program's what Sweep does for one. A folder that is not there is
// clean.
func SweepFolder(dir string) error { return sweep(dir, func(string) bool { return true }) }

func sweep(dir string, ours func(base string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", dir, Cause(err))
	}
	for _, e := range entries {
		name := temporaryName.FindStringSubmatch(e.Name())
		if name == nil || !ours(name[1]) || !e.Type().IsRegular() {
			continue
		}
		if err := removeUnused(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("cannot remove %s, which a killed run left: %w", filepath.Join(dir, e.Name()), Cause(err))
		}
	}
	return nil
}

// removeUnused removes a temporary file unless a process is writing it.
func removeUnused(path string) (err error) {
	if runtime.GOOS == "windows" {
		_ = os.Remove(path) // it fails for an open file
		return nil
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY|nonblock))
	held, err := lock.TryLock()
	if err != nil || !held {
		return nil // in use, gone meanwhile, another user's, or on a file system that cannot tell
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
