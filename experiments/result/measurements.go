package result

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/synapnet/synapnet-train/curriculum"
)

// Labels are those of one measurement.
type Labels = map[string]string

// With is a copy of l in which a label is set.
func With(l Labels, name, value string) Labels {
	l = maps.Clone(l)
	l[name] = value
	return l
}

// The labels that several experiments share.
const (
	VariantLabel = "variant"
	ContextLabel = "context"
	TaskLabel    = "task"
	PolicyLabel  = "policy"
	TokensLabel  = "tokens" // read of a stream so far
	ModelLabel   = "model"  // its size or architecture
)

// Guessing is the variant, or policy, whose accuracy is that of an answer without reading the input.
const Guessing = "guessing"

// Share is a share of n samples with its Wilson interval.
func Share(l Labels, protocol, metric string, a curriculum.Accuracy) Measurement {
	return Measurement{
		Labels: l, Protocol: protocol, Metric: metric, Unit: "1", N: a.N, Mean: a.Mean,
		Interval: &Interval{Low: a.Low, High: a.High, Method: "wilson"},
	}
}

// ShareOverSeeds is the mean share over seeds with its standard deviation, and the Wilson interval of all samples.
func ShareOverSeeds(l Labels, protocol, metric string, seeds []curriculum.Accuracy) Measurement {
	correct, n := 0, 0
	var values []float64
	for _, a := range seeds {
		correct, n = correct+a.Correct, n+a.N
		values = append(values, a.Mean)
	}
	m := Share(l, protocol, metric, curriculum.NewAccuracy(correct, n))
	m.Mean, m.Std = MeanAndStd(values)
	return m
}

// GuessingOf is the accuracy of guessing, which is known exactly.
func GuessingOf(l Labels, protocol string, n int, p float64) Measurement {
	return Measurement{Labels: With(l, VariantLabel, Guessing), Protocol: protocol, Metric: "accuracy", Unit: "1", N: n,
		Mean: p}
}

// MedianOf is the median of repetitions with its bootstrap interval.
func MedianOf(l Labels, protocol, metric, unit string, values []float64) Measurement {
	_, std := MeanAndStd(values)
	return Measurement{
		Labels: l, Protocol: protocol, Metric: metric, Unit: unit, N: len(values), Mean: Median(values), Std: std,
		Interval: Bootstrap(len(values), func(at []int) float64 {
			x := make([]float64, len(at))
			for i, j := range at {
				x[i] = values[j]
			}
			return Median(x)
		}),
		Note: "median of the repetitions",
	}
}

// resamples is the number of samples with replacement of a bootstrap interval.
const resamples = 1000

// Bootstrap is the 95% percentile interval of a statistic of n units, which is given the indices of a sample of them.
func Bootstrap(n int, statistic func(at []int) float64) *Interval {
	if n < 2 {
		return nil
	}
	rng := rand.New(rand.NewPCG(uint64(n), 0x626f6f74))
	at, values := make([]int, n), make([]float64, resamples)
	for r := range values {
		for i := range at {
			at[i] = rng.IntN(n)
		}
		values[r] = statistic(at)
	}
	slices.Sort(values)
	return &Interval{Low: values[int(0.025*resamples)], High: values[int(0.975*resamples)], Method: "bootstrap"}
}

// ContextOf is the label of a context length.
func ContextOf(tokens int) string { return strconv.Itoa(tokens) }

// MeanOf is the mean of values with its t-interval.
func MeanOf(l Labels, protocol, metric, unit string, values []float64) Measurement {
	return Mean(Measurement{Labels: l, Protocol: protocol, Metric: metric, Unit: unit}, values...)
}

// MeanAndStd is the mean and the standard deviation with n-1; the latter is 0 for one value.
func MeanAndStd(x []float64) (mean, std float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	if len(x) < 2 {
		return mean, 0
	}
	for _, v := range x {
		std += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(std / float64(len(x)-1))
}

// Median is the mean of the two middle values of x, or the middle one.
func Median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// ExactOf is one exact number, e.g. a size.
func ExactOf(l Labels, protocol, metric, unit string, value float64) Measurement {
	return Measurement{Labels: l, Protocol: protocol, Metric: metric, Unit: unit, N: 1, Mean: value}
}

// Unbounded names, among the policies, a memory that evicts nothing.
const Unbounded = "unbounded store"

// Trained is the variant of a model as it was trained.
const Trained = "float32"
