//go:build unix

package main

import (
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"
)

// The first signal cancels the context, the second one exits with its status. What timeout(1) sends, SIGTERM twice at
// once, is one signal.
func TestInterrupt(t *testing.T) {
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		exited := make(chan int, 1)
		ctx, stop := withInterrupt(t.Context(), func(code int) { exited <- code })
		send(t, signal)
		select {
		case <-ctx.Done():
			if code := reportError(ctx, io.Discard, fmt.Errorf("stopped: %w", ctx.Err())); code != want {
				t.Errorf("%v: the command ends with %d, want %d", signal, code, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%v: the context lives on", signal)
		}
		select {
		case code := <-exited:
			t.Fatalf("%v: exit %d after one signal", signal, code)
		default:
		}
		if signal == syscall.SIGTERM {
			send(t, signal)
			select {
			case code := <-exited:
				t.Fatalf("%v twice at once: exit %d", signal, code)
			case <-time.After(moment + moment/10):
			}
		}
		send(t, signal)
		select {
		case code := <-exited:
			if code != want {
				t.Errorf("%v: exit %d, want %d", signal, code, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%v: no exit after two signals", signal)
		}
		stop()
	}
}

// Without a signal the context ends when it is stopped.
func TestInterruptStop(t *testing.T) {
	ctx, stop := withInterrupt(t.Context(), func(int) { t.Error("exit without a signal") })
	if ctx.Err() != nil {
		t.Error("cancelled at birth")
	}
	stop()
	if ctx.Err() == nil {
		t.Error("alive after stop")
	}
}

func send(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(syscall.Getpid(), signal); err != nil {
		t.Fatal(err)
	}
}
