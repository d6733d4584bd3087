//go:build unix

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownProcess is a command line of the program in a process of its own, with `before` as shell commands that come first.
func ownProcess(t *testing.T, before, line string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", before+` exec "$0"`, self)
	c.Env = append(os.Environ(), killable+"="+line)
	return c
}

// waitFor waits until a file is there.
func waitFor(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s is not there after a minute", path)
}

// nobody is an output that nobody reads any more.
func nobody(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// status is a process's exit status, 128 + the number of the signal that ended it as shells say it.
func status(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err == nil {
		return 0
	}
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if s := exit.Sys().(syscall.WaitStatus); s.Signaled() {
		t.Errorf("killed by %v", s.Signal())
		return 128 + int(s.Signal())
	}
	return exit.ExitCode()
}

// Whatever happens to the terminal of a training, no step is lost: closed, it saves; ignored by nohup, it goes on;
// nobody reads what it says, it goes on.
func TestTrainingOutlivesItsTerminal(t *testing.T) {
	t.Chdir(t.TempDir())
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP) // what is caught is not ignored by children, as under nohup it would be
	defer signal.Stop(caught)
	line := "pretrain --curriculum 32 64 " +
		strings.Replace(tiny, "--samples-per-stage 32", "--samples-per-stage 640", 1) + " --checkpoint-every 2 --output-dir "
	trained(t, line+"whole")
	want := read(t, "whole/model.safetensors")
	for name, c := range map[string]struct {
		before  string
		stderr  io.Writer
		signals []syscall.Signal
		status  int
	}{
		"hangup":         {"", new(bytes.Buffer), []syscall.Signal{syscall.SIGHUP, syscall.SIGHUP}, 129},
		"closed":         {"", nobody(t), []syscall.Signal{syscall.SIGHUP, syscall.SIGHUP}, 129},
		"nohup":          {`trap "" HUP;`, new(bytes.Buffer), []syscall.Signal{syscall.SIGHUP}, exitOK},
		"unread":         {"", nobody(t), nil, exitOK},
		"unread-stopped": {"", nobody(t), []syscall.Signal{syscall.SIGTERM}, 143},
	} {
		p := ownProcess(t, c.before, line+name)
		p.Stderr = c.stderr
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, name+"/cost.json")
		for _, s := range c.signals {
			if err := p.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		if got := status(t, p.Wait()); got != c.status {
			t.Errorf("%s: status %d, want %d; %v", name, got, c.status, c.stderr)
			continue
		}
		if c.status != exitOK {
			trained(t, "pretrain --resume --output-dir "+name)
		}
		if read(t, name+"/model.safetensors") != want {
			t.Errorf("%s: it ends in other weights", name)
		}
	}
}

// `info FILE | head -1` ends as other programs do, without a word.
func TestClosedStandardOutput(t *testing.T) {
	var stderr bytes.Buffer
	p := ownProcess(t, "", "info --json")
	p.Stdout, p.Stderr = nobody(t), &stderr
	if got := status(t, p.Run()); got != exitUnread || stderr.Len() > 0 {
		t.Errorf("status %d, want %d; %q", got, exitUnread, stderr.String())
	}
}
