// Package files is the one way in which this program opens what a user names and writes what it makes.
//
// What is read is a regular file: a pipe, a device or a folder in its place is refused and never waited for. What is
// written replaces its file at once or not at all, power cuts included. What a killed process left half-written has a
// name that is nobody else's, and is removed by the next one.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Open opens a regular file, or a link to one, for reading. It does not wait: where a pipe, a device, a socket or a
// folder has the name, the error says so.
func Open(path string) (*os.File, error) {
	if _, err := regular(path); err != nil { // opening a device may do something: a tape is wound
		return nil, err
	}
	// The name may have become another's since. Opened so, a pipe without a writer does not wait for one.
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = notRegular(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Read is all of the regular file at path, which must be of at most limit bytes. See Open.
func Read(path string, limit int64) (text []byte, err error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err = io.ReadAll(io.LimitReader(f, limit+1)) // it may grow meanwhile, and some systems' files tell no size
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path,
			Err: fmt.Errorf("it is larger than %s, the most that such a file may have", inUnits(limit))}
	}
	return text, nil
}

// OpenStream opens what may be read once, as it comes: a file, a pipe, a terminal. Opening a pipe waits for who writes
// to it, until ctx ends.
func OpenStream(ctx context.Context, path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() || info.Mode()&fs.ModeSocket != 0 {
		return nil, notRegular(path, info)
	}
	type opened struct {
		file *os.File
		err  error
	}
	result := make(chan opened)
	go func() { // no call of the system's ends when a context does: this one may outlive its caller
		f, err := os.Open(path)
		select {
		case result <- opened{f, err}:
		case <-ctx.Done():
			if err == nil {
				_ = f.Close() // it was not read
			}
		}
	}()
	select {
	case r := <-result:
		return r.file, r.err
	case <-ctx.Done():
		return nil, &fs.PathError{Op: "open", Path: path, Err: ctx.Err()}
	}
}

// inUnits is a number of bytes for a message.
func inUnits(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d MB", n>>20)
}

// regular is what is at path, which is an error if it is no regular file.
func regular(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return info, notRegular(path, info)
}

func notRegular(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return &fs.PathError{Op: "open", Path: path, Err: NotRegularError{info.Mode()}}
}

// NotRegularError is the error of a name that is no regular file's.
type NotRegularError struct{ Mode fs.FileMode }

// Error says what it is.
func (e NotRegularError) Error() string { return fmt.Sprintf("it is a %s, not a file", Kind(e.Mode)) }

// Kind names what a mode says a file is: file, folder, pipe, socket, device, link.
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "file"
	case mode.IsDir():
		return "folder"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeSymlink != 0:
		return "link"
	}
	return "device"
}

// Cause is an error about a file without the file's name, which the caller gives, or its temporary one, which means
// nothing to a user.
func Cause(err error) error {
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return link.Err
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// Target is the file that writing to path replaces: where path is a link, what it points to, as everywhere on the
// system. The error of a link to nothing, and of one in a circle, says so.
func Target(path string) (string, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return path, nil
	}
	if err != nil {
		return "", err
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		// /dev/stdout leads to a pipe that has no name, or to a terminal that this process cannot look up.
		if info, failed := os.Stat(path); failed == nil && !info.Mode().IsRegular() {
			return "", notRegular(path, info)
		}
		return "", &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("it is a link that leads nowhere: %w", Cause(err))}
	}
	return target, nil
}
