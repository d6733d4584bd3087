package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SetAside renames the file at path to the first free one of PATH.before, PATH.before-2, PATH.before-3 and so on, and
// gives the new path. The caller keeps others from writing to the folder.
func SetAside(path string) (kept string, err error) {
	kept = path + ".before"
	for n := 2; ; n++ {
		_, err := os.Lstat(kept)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return "", err
		}
		kept = fmt.Sprintf("%s.before-%d", path, n)
	}
	if err := os.Rename(path, kept); err != nil {
		return "", err
	}
	return kept, syncFolder(filepath.Dir(path))
}
