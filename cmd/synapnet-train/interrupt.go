package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// moment is how long after the first signal another SIGTERM may be the same event.
const moment = time.Second

// withInterrupt returns a context that the first SIGINT (Ctrl-C), SIGTERM or SIGHUP (the terminal is closed) cancels
// with an interruption, so that a command can save its work. A second SIGINT or SIGTERM calls exit at once with 128 +
// the signal's number, 130 for Ctrl-C. SIGHUP does not: one may come from the shell and one from the system, at the
// same moment; nor does a SIGTERM within a moment of the first signal: timeout(1) sends one to the process and then one
// to its group, as batch systems do. Where SIGHUP was ignored from the start, by nohup, it stays so. stop ends the
// watch.
//
// signal.NotifyContext alone would swallow the second signal.
func withInterrupt(parent context.Context, exit func(int)) (ctx context.Context, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if hangup != nil && !signal.Ignored(hangup) {
		signal.Notify(signals, hangup)
	}
	ctx, cancel := context.WithCancelCause(parent)
	done := make(chan struct{})
	go func() {
		for first := (time.Time{}); ; {
			select {
			case received := <-signals:
				switch again := received == syscall.SIGTERM && time.Since(first) < moment; {
				case first.IsZero():
					cancel(interruption{received})
					first = time.Now()
				case received != hangup && !again:
					exit(signalStatus(received))
					return
				}
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

// surviveClosedOutput lets writing to an output that nobody reads any more fail, as to any other pipe: without it, the
// first line of progress on a closed standard error would end the process in the middle of a training. Processes that
// are started do not inherit it.
func surviveClosedOutput() {
	if brokenPipe != nil {
		signal.Notify(make(chan os.Signal, 1), brokenPipe)
	}
}

// closedOutput says whether an error is that of a standard output that nobody reads any more, as of `inspect FILE |
// head`.
func closedOutput(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Path == os.Stdout.Name() && errors.Is(p.Err, syscall.EPIPE)
}

// interruptedText is what err says, without Go's words for a context that ended.
func interruptedText(err error) string {
	ended := context.Canceled.Error()
	if err.Error() == ended {
		return "interrupted"
	}
	return strings.TrimSuffix(err.Error(), ": "+ended)
}

// interruption is why a context ended: a signal. To errors.Is it is a context.Canceled.
type interruption struct{ signal os.Signal }

func (i interruption) Error() string     { return context.Canceled.Error() }
func (i interruption) Is(err error) bool { return err == context.Canceled }

// signalStatus is the exit status shells give a program that a signal ended.
func signalStatus(s os.Signal) int {
	if number, ok := s.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return exitInterrupted
}
