package baee

import (
	"context"
	"math"
	"slices"
	"testing"
)

// skewed are examples whose contents are correlated, off centre and of very different sizes, with one constant feature.
func skewed(seed uint64, n, dim int) Examples {
	e := examples(seed, n, dim)
	for i := range n {
		x := e.Features[i*e.Width : (i+1)*e.Width]
		x[1] = 0.9*x[0] + 0.1*x[1]
		for j := range x {
			x[j] = 3 + x[j]*float32(math.Pow(4, float64(j%3)))
		}
		x[e.Width-1] = 0.5
	}
	return e
}

func TestStandardisedFeaturesHaveUnitVariance(t *testing.T) {
	e := skewed(1, 4000, 6)
	s, err := newStandardiser(e, 6)
	if err != nil {
		t.Fatal(err)
	}
	z := make([]float32, len(e.Features))
	s.apply(z, e.Features)
	covariance := func(j, k int) (mean, cov float64) {
		for i := range e.Len() {
			a, b := float64(z[i*e.Width+j]), float64(z[i*e.Width+k])
			mean, cov = mean+a/float64(e.Len()), cov+a*b/float64(e.Len())
		}
		return mean, cov
	}
	for j := range e.Width {
		mean, variance := covariance(j, j)
		switch {
		case math.Abs(mean) > 1e-3:
			t.Errorf("feature %d has mean %v", j, mean)
		case j == e.Width-1 && variance != 0:
			t.Errorf("the constant feature has variance %v", variance)
		case j >= 6 && j < e.Width-1 && math.Abs(variance-1) > 1e-3:
			t.Errorf("history %d has variance %v", j, variance)
		case j < 6 && variance > 1+1e-3: // the ridge lowers it
			t.Errorf("content %d has variance %v", j, variance)
		}
	}
	if _, variance := covariance(5, 5); variance < 0.9 {
		t.Errorf("the content that varies most has variance %v", variance)
	}
}

// A folded classifier gives features the score that the classifier gave their standardised form.
func TestFoldingKeepsTheScores(t *testing.T) {
	e := skewed(2, 500, 6)
	s, err := newStandardiser(e, 6)
	if err != nil {
		t.Fatal(err)
	}
	z := make([]float32, len(e.Features))
	s.apply(z, e.Features)
	c := trained(t, 6)
	want := c.Scores(z)
	s.fold(c)
	for i, got := range c.Scores(e.Features) {
		if math.Abs(float64(got-want[i])) > 1e-5 {
			t.Fatalf("example %d: %v, want %v", i, got, want[i])
		}
	}
}

func TestStandardisedFitLearnsBadlyScaledFeatures(t *testing.T) {
	test := skewed(4, 500, 6)
	c, again := classifier(t, 6, DefaultHidden), classifier(t, 6, DefaultHidden)
	for _, x := range []*Classifier{c, again} {
		if err := x.Fit(context.Background(), skewed(3, 500, 6), StandardisedFit(1)); err != nil {
			t.Fatal(err)
		}
	}
	if auc, ok := AUC(c.Scores(test.Features), test.Labels); !ok || auc < 0.97 {
		t.Errorf("AUC %v on new examples", auc)
	}
	if !slices.Equal(c.w[0].Data(), again.w[0].Data()) {
		t.Error("the same seed gave other weights")
	}
	same := Examples{Width: 10, Features: make([]float32, 100), Labels: make([]float32, 10)}
	if err := classifier(t, 6, 4).Fit(context.Background(), same, StandardisedFit(1)); err != nil {
		t.Errorf("examples that are all the same: %v", err)
	}
	same.Features[0] = float32(math.NaN())
	if err := classifier(t, 6, 4).Fit(context.Background(), same, StandardisedFit(1)); err == nil {
		t.Error("a content that is not a number was accepted")
	}
}
