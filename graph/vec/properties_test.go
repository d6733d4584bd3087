package vec

import (
	"math"
	"math/rand"
	"testing"
	"testing/quick"
)

// TestExpOverItsRange walks the bit patterns of float32 in steps of 257.
func TestExpOverItsRange(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		const chunk = 1 << 14
		x, y := make([]float32, chunk), make([]float32, chunk)
		bits := uint64(0)
		worst := 0.0
		for bits < 1<<32 {
			for i := range x {
				x[i] = math.Float32frombits(uint32(bits))
				// Most patterns are far outside the interesting range.
				bits += 257
				if abs32(x[i]) > 200 || abs32(x[i]) < 1e-9 {
					bits += 257 * 64
				}
			}
			Exp(y, x)
			for i, v := range x {
				want := math.Exp(float64(v))
				if d := differ(float64(y[i]), want, 2.5e-7, want); d != "" {
					t.Fatalf("e^%v: %s", v, d)
				}
				if want > minNormal && want < math.MaxFloat32 {
					worst = max(worst, math.Abs(float64(y[i])-want)/want)
				}
				if v < expLo && y[i] != 0 || v > 88.7229 && !math.IsInf(float64(y[i]), 1) {
					t.Fatalf("e^%v = %v: not flushed", v, y[i])
				}
			}
		}
		t.Logf("largest relative error %.3g", worst)
	})
}

func TestGeluIsAccurateInTheTail(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		var x []float32
		for v := float32(-13); v < 13; v += 1e-4 {
			x = append(x, v)
		}
		y := make([]float32, len(x))
		Gelu(y, x)
		worst := 0.0
		for i, v := range x {
			want := float64(v) * refCDF(float64(v))
			worst = max(worst, math.Abs(float64(y[i])-want)/max(1, math.Abs(float64(v))))
			// The rounding of a²/2 bounds the relative accuracy of e^(-a²/2).
			if d := differ(float64(y[i]), want, 4e-7+1e-7*float64(v*v), math.Abs(want)); d != "" {
				t.Fatalf("gelu(%v): %s", v, d)
			}
		}
		t.Logf("largest error relative to max(1, |x|) %.3g", worst)
	})
}

func TestNaNIsIgnoredByMaxima(t *testing.T) {
	nan := float32(math.NaN())
	eachLevel(t, func(t *testing.T) {
		for n := 1; n < 100; n++ {
			for _, at := range []int{0, n / 2, n - 1} {
				x := make([]float32, n)
				for i := range x {
					x[i] = -float32(i) - 3
				}
				want := float32(math.Inf(-1))
				for i := range x {
					if i != at {
						want = max(want, x[i])
					}
				}
				x[at] = nan
				if got := Max(x); got != want {
					t.Fatalf("Max of %d elements with NaN at %d = %v, want %v", n, at, got, want)
				}
				if got := ScaleBiasMax(x, 1, nil); got != want || x[at] == x[at] {
					t.Fatalf("ScaleBiasMax of %d elements with NaN at %d = %v, want %v", n, at, got, want)
				}
			}
		}
	})
}

func TestNonFiniteIsFoundAnywhere(t *testing.T) {
	bad := []float32{float32(math.NaN()), math.Float32frombits(0xff800001), float32(math.Inf(1)), float32(math.Inf(-1))}
	eachLevel(t, func(t *testing.T) {
		for n := range 140 {
			x := make([]float32, n)
			for i := range x {
				x[i] = math.MaxFloat32 * float32(1-2*(i%2))
			}
			if HasNonFinite(x) {
				t.Fatalf("%d finite elements reported", n)
			}
			for i := range x {
				for _, b := range bad {
					old := x[i]
					x[i] = b
					if !HasNonFinite(x) {
						t.Fatalf("%v at %d of %d is not found", b, i, n)
					}
					x[i] = old
				}
			}
		}
	})
}

func TestEmptyMaxIsMinusInf(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, got := range []float32{Max(nil), ScaleBiasMax(nil, 1, nil), ScaleBiasMax([]float32{}, 1, []float32{})} {
			if !math.IsInf(float64(got), -1) {
				t.Errorf("got %v", got)
			}
		}
	})
}

// A softmax row built from the pieces sums to 1, and its gradient to 0.
func TestSoftmaxFromPieces(t *testing.T) {
	r := rand.New(rand.NewSource(7))
	eachLevel(t, func(t *testing.T) {
		property := func(seed int64, n uint16) bool {
			size := int(n%2000) + 1
			r.Seed(seed)
			x, bias, dp := normal(r, size, 40), normal(r, size, 1), normal(r, size, 1)
			for i, d := range dp { // within ±1: rounding grows with the upstream gradient, the bounds below are for this size
				dp[i] = max(-1, min(1, d))
			}
			bias[0] = float32(math.Inf(-1)) // a masked position
			if size == 1 {
				bias[0] = 0
			}
			recomputed := make([]float32, size)
			copy(recomputed, x)
			m := ScaleBiasMax(x, 0.125, bias)
			sum := ExpShiftSum(x, m)
			if size > 1 && x[0] != 0 {
				return false
			}
			ExpScaleBias(recomputed, recomputed, 0.125, bias, m)
			for i := range x {
				if math.Abs(float64(recomputed[i]-x[i])) > 1e-6 {
					return false
				}
			}
			Scale(x, 1/sum, x)
			if math.Abs(float64(Sum(x))-1) > 1e-6 {
				return false
			}
			SoftmaxGrad(dp, x, dp, Dot(x, dp))
			return math.Abs(float64(Sum(dp))) < 1e-6
		}
		if err := quick.Check(property, &quick.Config{Rand: rand.New(rand.NewSource(9))}); err != nil {
			t.Error(err)
		}
	})
}

// A normalised row has mean 0 and variance 1, and its gradient is orthogonal to
// a constant and to the row itself.
func TestNormRowProperties(t *testing.T) {
	r := rand.New(rand.NewSource(8))
	eachLevel(t, func(t *testing.T) {
		property := func(seed int64, n uint16) bool {
			size := int(n%1000) + 8
			r.Seed(seed)
			x, dy := normal(r, size, 3), normal(r, size, 1)
			ones, zeros, y := make([]float32, size), make([]float32, size), make([]float32, size)
			for i := range ones {
				ones[i] = 1
				x[i] += 5
			}
			mean, rstd := NormRow(y, x, ones, zeros, 0)
			n64 := float64(size)
			if math.Abs(float64(Sum(y)))/n64 > 2e-6 || math.Abs(SumSq(y)/n64-1) > 2e-6 {
				return false
			}
			dx := make([]float32, size)
			NormRowGrad(dx, make([]float32, size), zeros, dy, x, ones, mean, rstd)
			return math.Abs(float64(Sum(dx)))/n64 < 2e-6 && math.Abs(float64(Dot(dx, y)))/n64 < 2e-6
		}
		if err := quick.Check(property, &quick.Config{Rand: rand.New(rand.NewSource(9))}); err != nil {
			t.Error(err)
		}
	})
}

func TestSumSqOfALongVector(t *testing.T) {
	x := make([]float32, 4_000_003)
	for i := range x {
		x[i] = 0.1
	}
	want := float64(float32(0.1)) * float64(float32(0.1)) * float64(len(x))
	eachLevel(t, func(t *testing.T) {
		if got := SumSq(x); math.Abs(got-want)/want > 1e-10 {
			t.Errorf("SumSq = %v, want %v", got, want)
		}
	})
}

func TestLengthMismatchPanics(t *testing.T) {
	a, b := make([]float32, 3), make([]float32, 4)
	calls := map[string]func(){
		"Exp":          func() { Exp(a, b) },
		"Add":          func() { Add(a, a, b) },
		"Dot":          func() { Dot(a, b) },
		"ScaleBiasMax": func() { ScaleBiasMax(a, 1, b) },
		"ExpScaleBias": func() { ExpScaleBias(a, a, 1, b, 0) },
		"NormRow":      func() { NormRow(a, a, a, b, 0) },
		"NormRowGrad":  func() { NormRowGrad(a, a, a, a, a, b, 0, 1) },
		"AdamW":        func() { AdamW(a, a, a, b, AdamWParams{}) },
	}
	for name, call := range calls {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s accepts slices of lengths 3 and 4", name)
				}
			}()
			call()
		}()
	}
}

// A constant row of huge values has x̂ = 0; lanes past the end of the row, where
// x̂ would overflow, must not reach the sums.
func TestNormRowGradOfAHugeConstantRow(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		const mean = 1e37
		x, ones := []float32{mean, mean, mean}, []float32{1, 1, 1}
		dx, dgamma, dbeta := make([]float32, 3), make([]float32, 3), make([]float32, 3)
		NormRowGrad(dx, dgamma, dbeta, ones, x, ones, mean, 316)
		for i := range dx {
			if dx[i] != 0 || dgamma[i] != 0 || dbeta[i] != 1 {
				t.Errorf("element %d: dx %v, dgamma %v, dbeta %v; want 0, 0, 1", i, dx[i], dgamma[i], dbeta[i])
			}
		}
	})
}
