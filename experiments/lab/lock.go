package lab

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/synapnet/synapnet-train/internal/files"
)

// lockResult keeps other processes from measuring what the result at path is of.
func lockResult(path string) (release func(), err error) {
	lock := filepath.Join(filepath.Dir(path), "."+strings.TrimSuffix(filepath.Base(path), ".json")+".lock")
	release, held, err := files.Lock(lock)
	if err == nil && !held {
		err = fmt.Errorf("another process is running it (%s is locked): wait for it, or stop it", lock)
	}
	return release, err
}
