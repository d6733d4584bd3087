package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// withInterrupt returns a context that the first SIGINT (Ctrl-C) or SIGTERM
// cancels with an interruption, so that a command can save its work. A second one
// calls exit at once with 128 + the signal's number, 130 for Ctrl-C. stop ends the
// watch.
//
// signal.NotifyContext alone would swallow the second signal.
func withInterrupt(parent context.Context, exit func(int)) (ctx context.Context, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(parent)
	done := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			select {
			case received := <-signals:
				if !first {
					exit(signalStatus(received))
					return
				}
				cancel(interruption{received})
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
