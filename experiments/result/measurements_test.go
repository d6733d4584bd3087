package result

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}, {[]float64{9, 1, 2, 4}, 3}} {
		if got := Median(c.x); got != c.want {
			t.Errorf("median of %v: got %g, want %g", c.x, got, c.want)
		}
	}
}

// Three models of which each is worse than all of six others are one of the 84 ways to choose three of nine; where
// nothing differs, every way is as far apart.
func TestPermutation(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{0.985, 0.474, 0.946}, []float64{1, 1, 0.998, 0.995, 0.993, 0.998}, 1. / 84},
		{[]float64{0, 0, 0}, []float64{1, 1, 1}, 2. / 20}, // either side
		{[]float64{0.1, 0.1}, []float64{0.1, 0.1, 0.1}, 1},
	} {
		if m := Permutation(Labels{}, Strict, c.a, c.b); math.Abs(m.Mean-c.want) > 1e-12 || m.N != len(c.a)+len(c.b) {
			t.Errorf("%v and %v: %+v, want %g", c.a, c.b, m, c.want)
		}
	}
}
