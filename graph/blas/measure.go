package blas

import (
	"runtime"
	"sync"
	"time"
)

// The problem of Measure: C[2048, 768] = A[2048, 768] * B[768, 768], the size of
// a feed-forward layer over a batch of four contexts, in row tiles of 256.
const (
	measureM    = 2048
	measureNK   = 768
	measureTile = 256
)

// Measure returns the machine's sgemm rate in GFLOP/s (10^9 multiplications and
// additions per second): GOMAXPROCS goroutines work through the row tiles of
// C[2048, 768] = A[2048, 768] * B[768, 768] again and again, one single-threaded
// [Gemm] of [256, 768] * [768, 768] at a time, until d has passed. Each goroutine
// writes a C of its own. One untimed tile per goroutine precedes the measurement.
// At least one timed tile per goroutine is done, however short d is.
func Measure(d time.Duration) float64 {
	workers := runtime.GOMAXPROCS(0)
	a, b := ramp(measureM*measureNK), ramp(measureNK*measureNK)
	tiles := make([]int, workers)
	begin := make(chan time.Time)
	var warm, done sync.WaitGroup
	for w := range workers {
		warm.Add(1)
		done.Go(func() {
			c := make([]float32, measureTile*measureNK)
			measureStep(a, b, c, w)
			warm.Done()
			deadline := (<-begin).Add(d)
			for {
				measureStep(a, b, c, w+tiles[w])
				tiles[w]++
				if !time.Now().Before(deadline) {
					return
				}
			}
		})
	}
	warm.Wait()
	start := time.Now()
	for range workers {
		begin <- start
	}
	done.Wait()
	seconds := time.Since(start).Seconds()
	total := 0
	for _, t := range tiles {
		total += t
	}
	return float64(total) * 2 * measureTile * measureNK * measureNK / seconds / 1e9
}

func measureStep(a, b, c []float32, tile int) {
	row := tile % (measureM / measureTile) * measureTile
	Gemm(false, false, measureTile, measureNK, measureNK, 1, a[row*measureNK:], measureNK, b, measureNK, 0, c, measureNK)
}

// ramp fills n values in [-0.5, 0.5) without zeros or subnormals, which some
// processors multiply at another speed.
func ramp(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = (float32(i*7919%1021)+0.25)/1021 - 0.5
	}
	return x
}
