package rounding

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Sums of the same products in other orders, with other numbers of partial sums, and in float64 are within Margin
// spreads and Of(n) of their size of each other, where the spread is measured on one of the orders; and a term dropped
// is beyond.
func TestOrdersOfSummationAreWithinTheSpread(t *testing.T) {
	for _, n := range []int{8, 64, 1000, 40000} {
		x, w := normal(n, 1), normal(n, 2)
		size := 0.0 // of a sum of as many terms of this size and random sign
		for i := range x {
			size += float64(x[i]*w[i]) * float64(x[i]*w[i])
		}
		size = math.Sqrt(size)
		first := sum(x, w, lanes)
		var distances []float64
		for draw := 1; draw <= Draws; draw++ {
			off := slices.Clone(w)
			Perturb(n, draw, off)
			distances = append(distances, Distance([]float32{sum(x, off, lanes)}, []float32{first}))
		}
		limit := Margin * (Spread(distances) + Of(n)*size)
		if limit > 1e-4*size {
			t.Errorf("n %d: the limit is %g of sums of size %g", n, limit, size)
		}
		var exact float64
		for i := range x {
			exact += float64(x[i]) * float64(w[i])
		}
		for _, partial := range []int{4, 8, 32, 64} {
			if d := math.Abs(float64(sum(x, w, partial)) - exact); !(d <= limit) {
				t.Errorf("n %d in %d partial sums: off by %g, more than %g", n, partial, d, limit)
			}
		}
		if d := math.Abs(exact - float64(sum(x[1:], w[1:], lanes))); !(d > limit) {
			t.Errorf("n %d: without a term the sum is off by %g, within %g", n, d, limit)
		}
	}
}

func TestPerturbIsTheSameForTheSameDraw(t *testing.T) {
	a, b, c := normal(100, 1), normal(100, 1), normal(100, 1)
	Perturb(64, 1, a)
	Perturb(64, 1, b)
	Perturb(64, 2, c)
	if !slices.Equal(a, b) || slices.Equal(a, c) || slices.Equal(a, normal(100, 1)) {
		t.Error("draws are not what they were, or all alike")
	}
}

func TestSpreadIsTheMedian(t *testing.T) {
	if got := Spread([]float64{3, 1, 1e9, 2, 0}); got != 2 {
		t.Errorf("got %g, want 2", got)
	}
	if got := Spread(nil); got != 0 {
		t.Errorf("of nothing: %g, want 0", got)
	}
}

// sum is x·w in float32, in partial sums.
func sum(x, w []float32, partial int) float32 {
	parts := make([]float32, partial)
	for i := range x {
		parts[i%partial] += x[i] * w[i]
	}
	var s float32
	for _, p := range parts {
		s += p
	}
	return s
}

func normal(n int, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, seed))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}
