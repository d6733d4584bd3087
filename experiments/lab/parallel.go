package lab

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
)

// Parallel computes all of todo on as many workers as there are processors, and saves one at a time. begin makes what a
// worker computes with, and end, which may be nil, what is called after its last one. The first error ends it.
func Parallel[W, T, C any](ctx context.Context, todo []T, begin func() (w W, end func(), err error),
	compute func(ctx context.Context, w W, t T) (C, error), save func(c C) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan T)
	var wg sync.WaitGroup
	var saving sync.Mutex
	saveOne := func(c C) error {
		saving.Lock()
		defer saving.Unlock()
		return save(c)
	}
	for range min(runtime.GOMAXPROCS(0), len(todo)) {
		wg.Go(func() {
			if err := work(ctx, queue, begin, compute, saveOne); err != nil {
				cancel(err)
			}
		})
	}
feed:
	for _, t := range todo {
		select {
		case queue <- t:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}

// work is one worker's part of the queue.
func work[W, T, C any](ctx context.Context, queue <-chan T, begin func() (w W, end func(), err error),
	compute func(ctx context.Context, w W, t T) (C, error), save func(c C) error) (err error) {
	defer func() { // a panic in a goroutine would end the process without a word for the user
		if problem := recover(); problem != nil {
			err = &Bug{problem, debug.Stack()}
		}
	}()
	w, end, err := begin()
	if err != nil {
		return err
	}
	if end != nil {
		defer end()
	}
	for t := range queue {
		c, err := compute(ctx, w, t)
		if err == nil {
			err = save(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
