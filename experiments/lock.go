package experiments

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// lockFile takes the lock at path, which no other process then gets until release is called or this process ends. held is
// false if another one has it. A file that is left holds nobody up.
func lockFile(path string) (release func(), held bool, err error) {
	for {
		lock := flock.New(path)
		held, err := lock.TryLock()
		if err != nil || !held {
			if err != nil {
				err = fmt.Errorf("cannot write %s: %w; make %s writable or choose another directory", path, withoutPath(err), filepath.Dir(path))
			}
			return nil, false, err
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
			return nil, false, fmt.Errorf("cannot lock %s: %w", path, withoutPath(err))
		}
		if gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			return nil, false, fmt.Errorf("cannot lock %s: %w", path, withoutPath(gone))
		}
	}
}

// lockResult keeps other processes from measuring what the result at path is of.
func lockResult(path string) (release func(), err error) {
	lock := filepath.Join(filepath.Dir(path), "."+strings.TrimSuffix(filepath.Base(path), ".json")+".lock")
	release, held, err := lockFile(lock)
	if err == nil && !held {
		err = fmt.Errorf("another process is running it (%s is locked): wait for it, or stop it", lock)
	}
	return release, err
}
