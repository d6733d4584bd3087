// Package rounding says what float32 arithmetic may make of a result: the measure by which comparisons of two float32
// computations, in conform and in tests, hold on every machine's kernels and still find a fault.
//
// What two right implementations may differ by is not a constant. It follows from how many terms a result sums, how
// much of the sum cancels, and what comes after makes of that; a constant that holds for one model and one machine's
// kernels fails for the next. So it is measured: the computation is run again with its weights off by a random relative
// error, that of a sum of as many products as its longest has. Such a run strays from the first by what another order
// of summation amounts to, whatever the order that this machine's kernels happen to use.
package rounding

import (
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// unit is the relative error of one rounding to float32, at most.
	unit = 0x1p-24
	// lanes is the number of partial sums that kernels add up side by side, in vector lanes and unrolled loops: 4 (SSE)
	// to 64 (AVX-512).
	lanes = 16
)

// Draws is the number of runs to measure a spread with: odd, for Spread's median.
const Draws = 5

// Margin is how many spreads may lie between two right implementations: each errs, in an order of its own.
const Margin = 2

// Of is the relative error that rounding makes of a float32 sum of n terms: in each of its partial sums as many
// roundings of random sign as it has terms.
func Of(n int) float64 { return unit * math.Sqrt(max(1, float64(n)/lanes)) }

// Perturb makes every element of the slices off by a random relative error whose standard deviation is Of(n). The same
// draw gives the same errors.
func Perturb(n, draw int, weights ...[]float32) {
	rng := rand.New(rand.NewPCG(uint64(draw), 0))
	for _, w := range weights {
		for i := range w {
			w[i] *= 1 + float32(Of(n)*rng.NormFloat64())
		}
	}
}

// Distance is the largest |a - b| of two results of the same length.
func Distance(a, b []float32) float64 {
	var largest float64
	for i := range a {
		largest = max(largest, math.Abs(float64(a[i])-float64(b[i])))
	}
	return largest
}

// Spread is the median of the perturbed runs' distances from the first: a run in which two elements change places in an
// order is not taken for it. It is 0 of none.
func Spread(distances []float64) float64 {
	if len(distances) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(distances))[len(distances)/2]
}
