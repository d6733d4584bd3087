//go:build unix

package files

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inTime fails if f takes longer than an open that waits for nobody does.
func inTime(t *testing.T, what string, f func() error) (err error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err = <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s hangs", what)
	}
	return err
}

func TestWhatIsNoFileIsRefusedAndNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	pipe, socket, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "s"), filepath.Join(dir, "link")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o644), os.Symlink("pipe", link)); err != nil {
		t.Skip(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	for path, kind := range map[string]string{pipe: "pipe", link: "pipe", socket: "socket", dir: "folder",
		"/dev/zero": "device"} {
		for what, f := range map[string]func() error{
			"Open":          func() error { _, err := Open(path); return err },
			"Read":          func() error { _, err := Read(path, 1<<10); return err },
			"Write":         func() error { return Write(path, nil) },
			"CheckWritable": func() error { return CheckWritable(path, 0) },
			"Lock":          func() error { _, _, err := Lock(path); return err },
			"a new log":     func() error { _, err := OpenAppending(path, true); return err },
			"an old log":    func() error { _, err := OpenAppending(path, false); return err },
		} {
			err := inTime(t, what, f)
			if err == nil || !strings.Contains(err.Error(), "it is a "+kind+", not a file") {
				t.Errorf("%s of a %s: %v", what, kind, err)
			}
		}
	}
}

// A pipe without a name of its own, as /dev/stdout is one in a shell's pipeline, is called what it is.
func TestALinkToAPipeWithoutAName(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	defer w.Close()
	path := fmt.Sprintf("/proc/self/fd/%d", w.Fd())
	if _, err := os.Lstat(path); err != nil {
		t.Skip("no /proc here")
	}
	for what, err := range map[string]error{"Write": Write(path, nil), "CheckWritable": CheckWritable(path, 0)} {
		if err == nil || !strings.Contains(err.Error(), "it is a pipe, not a file") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestOpenStreamWaitsUntilTheContextEnds(t *testing.T) {
	dir := t.TempDir()
	pipe, never := filepath.Join(dir, "pipe"), filepath.Join(dir, "never")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o644), syscall.Mkfifo(never, 0o644)); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := inTime(t, "OpenStream", func() error { _, err := OpenStream(ctx, never); return err }); !errors.Is(err,
		context.Canceled) {
		t.Errorf("error %v", err)
	}
	go func() {
		w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err == nil {
			_, err = w.WriteString("1 2")
			err = errors.Join(err, w.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}()
	text := make([]byte, 3)
	if err := inTime(t, "OpenStream", func() error {
		f, err := OpenStream(context.Background(), pipe)
		if err == nil {
			_, err = f.Read(text)
			err = errors.Join(err, f.Close())
		}
		return err
	}); err != nil || string(text) != "1 2" {
		t.Errorf("%q, %v", text, err)
	}
}
