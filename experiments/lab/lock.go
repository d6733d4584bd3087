package lab

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/synapnet/synapnet-train/internal/files"
)

// lock keeps other processes out of the results folder: two would fail at each other's experiments, and disturb each
// other's times.
func (d *Driver) lock() (release func(), err error) {
	release, held, err := files.Lock(filepath.Join(d.Root, ".experiments.lock"))
	if err == nil && !held {
		err = fmt.Errorf("another process runs experiments in %s: wait for it, stop it, or give another --results", d.Root)
	}
	return release, err
}

// lockResult keeps other processes from measuring what the result at path is of.
func lockResult(path string) (release func(), err error) {
	lock := filepath.Join(filepath.Dir(path), "."+strings.TrimSuffix(filepath.Base(path), ".json")+".lock")
	release, held, err := files.Lock(lock)
	if err == nil && !held {
		err = fmt.Errorf("another process is running it (%s is locked): wait for it, or stop it", lock)
	}
	return release, err
}
