package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Lock takes the lock at path, which no other process then gets until release is called or this process ends. held is
// false if another one has it. A file that is left holds nobody up. A system that knows no locks runs one process: it
// holds all.
func Lock(path string) (release func(), held bool, err error) {
	for {
		if _, err := regular(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, false, lockError(path, err) // a pipe would be waited for
		}
		lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY|nonblock))
		held, err := lock.TryLock()
		for range asking { // one that asks in Locked has it for a moment
			if held || err != nil {
				break
			}
			time.Sleep(time.Millisecond)
			held, err = lock.TryLock()
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return func() {}, true, nil
		}
		if err != nil {
			return nil, false, lockError(path, err)
		}
		if !held {
			return nil, false, nil
		}
		// Who held it before may have removed the file between our opening and locking it: then the lock is on no file that
		// another process would find.
		ours, err := lock.Stat()
		there, gone := os.Stat(path)
		if err == nil && gone == nil && os.SameFile(ours, there) {
			return func() {
				_ = os.Remove(path)
				_ = lock.Unlock()
			}, true, nil
		}
		if err := errors.Join(err, lock.Unlock()); err != nil {
			return nil, false, lockError(path, err)
		}
		if gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			return nil, false, lockError(path, gone)
		}
	}
}

// asking is how often Lock tries again, a millisecond later, where the lock is taken.
const asking = 5

// Locked says whether a process has the lock at path. It makes no file.
func Locked(path string) (bool, error) {
	_, err := regular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY|nonblock))
	free, err := lock.TryRLock()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist) { // it was given free meanwhile
		return false, nil
	}
	return !free, errors.Join(err, lock.Unlock())
}

func lockError(path string, err error) error {
	return fmt.Errorf("cannot write %s: %w; make %s writable or choose another directory", path, Cause(err),
		filepath.Dir(path))
}
