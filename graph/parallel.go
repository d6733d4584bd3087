package graph

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Parallel calls f(0) … f(n-1), each exactly once, on at most GOMAXPROCS goroutines and returns when all are done.
// The split of the work into n parts must not depend on the number of workers: that is what keeps every result the
// same whatever GOMAXPROCS is.
func Parallel(n int, f func(i int)) {
	ParallelScratch(n, 0, func(i int, _ []float32) { f(i) })
}

// ParallelElements calls f on ranges that together are 0 … n-1, for work on n elements that do not depend on each
// other.
func ParallelElements(n int, f func(from, to int)) {
	Parallel(tiles(n, elementTile), func(i int) { f(tile(i, elementTile, n)) })
}

// ParallelRows calls f(0) … f(n-1), as many at a time as Parallel, for work on n rows that do not depend on each other.
func ParallelRows(n int, f func(r int)) {
	Parallel(tiles(n, rowTile), func(i int) {
		for r, to := tile(i, rowTile, n); r < to; r++ {
			f(r)
		}
	})
}

// ParallelScratch is Parallel for parts that need `size` floats of private scratch memory. Its contents are undefined
// at the start of each part.
func ParallelScratch(n, size int, f func(i int, scratch []float32)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		s := getScratch(size)
		for i := range n {
			f(i, s)
		}
		putScratch(s)
		return
	}
	var (
		next   atomic.Int64
		wg     sync.WaitGroup
		failed atomic.Pointer[any]
	)
	work := func() {
		// A panic in a worker must reach the caller, which turns it into an error, instead of ending the process.
		defer func() {
			if r := recover(); r != nil {
				failed.CompareAndSwap(nil, &r)
			}
		}()
		s := getScratch(size)
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(i, s)
		}
		putScratch(s)
	}
	wg.Add(workers - 1)
	for range workers - 1 {
		go func() {
			defer wg.Done()
			work()
		}()
	}
	work()
	wg.Wait()
	if r := failed.Load(); r != nil {
		panic(*r)
	}
}

// scratch keeps the workers' private memory from one call to the next, so that a training step allocates next to
// nothing. A sync.Pool would give it back at every garbage collection.
var scratch struct {
	sync.Mutex
	free [][]float32
}

func getScratch(size int) []float32 {
	if size == 0 {
		return nil
	}
	scratch.Lock()
	defer scratch.Unlock()
	for i, s := range scratch.free {
		if cap(s) >= size {
			last := len(scratch.free) - 1
			scratch.free[i] = scratch.free[last]
			scratch.free = scratch.free[:last]
			return s[:size]
		}
	}
	// Nothing is large enough: the largest request replaces a smaller one, so the list cannot grow beyond one
	// piece per worker.
	if last := len(scratch.free) - 1; last >= 0 {
		scratch.free = scratch.free[:last]
	}
	return make([]float32, size)
}

func putScratch(s []float32) {
	if cap(s) == 0 {
		return
	}
	scratch.Lock()
	scratch.free = append(scratch.free, s)
	scratch.Unlock()
}

// cut takes n floats off the front of a scratch.
func cut(scratch *[]float32, n int) []float32 {
	part := (*scratch)[:n]
	*scratch = (*scratch)[n:]
	return part
}

// tiles gives the number of tiles of `size` rows that cover n rows; tile the half-open range of rows of one of them.
func tiles(n, size int) int { return (n + size - 1) / size }

func tile(i, size, n int) (from, to int) { return i * size, min((i+1)*size, n) }
