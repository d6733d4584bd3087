package files

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Write replaces the file at path by data. See Replace.
func Write(path string, data []byte) error {
	return Replace(path, int64(len(data)), func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	})
}

// Replace replaces the file at path, or the one that a link there points to, by what write writes, of about size bytes.
// It does so at once: after an error, a kill or a power cut, path is what it was before or all of the new. A new file
// may be read by all whom the umask allows; an old one's permissions stay. w is buffered. The error names the file, the
// cause and the mend.
func Replace(path string, size int64, write func(w io.Writer) error) error {
	if err := replace(path, write); err != nil {
		return writeError(path, size, err)
	}
	return nil
}

func replace(path string, write func(w io.Writer) error) (err error) {
	path, err = Target(path)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		info = nil
	case err != nil:
		return err
	default:
		if err := notRegular(path, info); err != nil {
			return err
		}
		mode = info.Mode().Perm()
	}
	t, err := newTemporary(path, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.discard()) }()
	if info != nil {
		if err := t.Chmod(mode); err != nil { // what the umask took
			return err
		}
	}
	buffered := bufio.NewWriterSize(t, 1<<20)
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return t.become(path)
}

// become syncs the file and gives it its place.
func (t *temporary) become(path string) error {
	if err := t.Sync(); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // which renames no open file; elsewhere it stays open, so that Sweep sees it in use
		if err := t.Close(); err != nil {
			return err
		}
	}
	if err := os.Rename(t.Name(), path); err != nil {
		return err
	}
	t.renamed = true
	return syncFolder(filepath.Dir(path))
}

// OpenAppending opens a regular file, or a link to one, to be read and written on. With anew it begins empty, and is
// made where there is none: its name survives a power cut when OpenAppending returns, what is written when it is
// synced. It does not wait for a pipe.
func OpenAppending(path string, anew bool) (_ *os.File, err error) {
	if path, err = Target(path); err != nil {
		return nil, err
	}
	if _, err := regular(path); err != nil && (!anew || !errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	flags := os.O_RDWR | nonblock
	if anew {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = notRegular(path, info) // the name may have become another's since
	}
	if err == nil && anew {
		err = errors.Join(f.Truncate(0), syncFolder(filepath.Dir(path)))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// MakeFolder makes a folder and those above it, as os.MkdirAll does, so that they survive a power cut as what is
// written into them does.
func MakeFolder(dir string) error {
	var parents []string // of the folders that are made
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || filepath.Dir(at) == at {
			break
		}
		parents = append(parents, filepath.Dir(at))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := syncFolder(parent); err != nil {
			return err
		}
	}
	return nil
}

// syncFolder makes what was created or renamed in a folder survive a power cut, as far as can be. Windows has no such
// call for a folder, some file systems (of a network, FUSE) refuse it with EINVAL or ENOTSUP, and a folder that we may
// write to but not read cannot be opened for it. There the file itself is safe, and the system decides when its name
// is.
func syncFolder(dir string) (err error) {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// CheckWritable finds out whether a file of at least room bytes can be written at path, and leaves no trace. Its errors
// are those of Write; errors.Unwrap gives the cause alone.
func CheckWritable(path string, room int) error {
	err := func() error {
		target, err := Target(path)
		if err != nil {
			return err
		}
		if info, err := os.Lstat(target); err == nil && !info.Mode().IsRegular() {
			return notRegular(path, info)
		}
		t, err := newTemporary(target, 0o644)
		if err != nil {
			return err
		}
		_, err = t.Write(make([]byte, room))
		return errors.Join(err, t.discard())
	}()
	if err != nil {
		return writeError(path, int64(room), err)
	}
	return nil
}

// writeError names the file and what the user can do about it.
func writeError(path string, size int64, err error) error {
	dir := filepath.Dir(path)
	mend := ""
	var other NotRegularError
	switch {
	case errors.As(err, &other):
		mend = "; give another path"
	case noRoom(err):
		mend = fmt.Sprintf("; free at least %d MB there or choose another directory", size>>20+1)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		mend = fmt.Sprintf("; make %s writable or choose another directory", dir)
	case errors.Is(err, fs.ErrNotExist):
		mend = fmt.Sprintf("; create the directory %s first", dir)
	case errors.Is(err, syscall.ENOTDIR):
		mend = fmt.Sprintf("; %s is not a directory, choose one that is", dir)
	}
	return fmt.Errorf("cannot write %s: %w%s", path, Cause(err), mend)
}
