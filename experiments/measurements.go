package experiments

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// labels are those of one measurement.
type labels = map[string]string

// with is a copy of l in which a label is set.
func with(l labels, name, value string) labels {
	l = maps.Clone(l)
	l[name] = value
	return l
}

// The labels that several experiments share.
const (
	variantLabel = "variant"
	contextLabel = "context"
	taskLabel    = "task"
	policyLabel  = "policy"
	tokensLabel  = "tokens" // read of a stream so far
	modelLabel   = "model"  // its size or architecture
)

// Guessing is the variant, or policy, whose accuracy is that of an answer without reading the input.
const Guessing = "guessing"

// share is a share of n samples with its Wilson interval.
func share(l labels, protocol, metric string, a curriculum.Accuracy) result.Measurement {
	return result.Measurement{
		Labels: l, Protocol: protocol, Metric: metric, Unit: "1", N: a.N, Mean: a.Mean,
		Interval: &result.Interval{Low: a.Low, High: a.High, Method: "wilson"},
	}
}

// shareOverSeeds is the mean share over seeds with its standard deviation, and the Wilson interval of all samples.
func shareOverSeeds(l labels, protocol, metric string, seeds []curriculum.Accuracy) result.Measurement {
	correct, n := 0, 0
	var values []float64
	for _, a := range seeds {
		correct, n = correct+a.Correct, n+a.N
		values = append(values, a.Mean)
	}
	m := share(l, protocol, metric, curriculum.NewAccuracy(correct, n))
	m.Mean, m.Std = meanStd(values)
	return m
}

// chance is the accuracy of guessing, which is known exactly.
func chance(l labels, protocol string, n int, p float64) result.Measurement {
	return result.Measurement{Labels: with(l, variantLabel, Guessing), Protocol: protocol, Metric: "accuracy", Unit: "1", N: n, Mean: p}
}

// medianOf is the median of repetitions with its bootstrap interval.
func medianOf(l labels, protocol, metric, unit string, values []float64) result.Measurement {
	_, std := meanStd(values)
	return result.Measurement{
		Labels: l, Protocol: protocol, Metric: metric, Unit: unit, N: len(values), Mean: median(values), Std: std,
		Interval: bootstrap(len(values), func(at []int) float64 {
			x := make([]float64, len(at))
			for i, j := range at {
				x[i] = values[j]
			}
			return median(x)
		}),
		Note: "median of the repetitions",
	}
}

// resamples is the number of samples with replacement of a bootstrap interval.
const resamples = 1000

// bootstrap is the 95% percentile interval of a statistic of n units, which is given the indices of a sample of them.
func bootstrap(n int, statistic func(at []int) float64) *result.Interval {
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
	return &result.Interval{Low: values[int(0.025*resamples)], High: values[int(0.975*resamples)], Method: "bootstrap"}
}

// contextOf is the label of a context length.
func contextOf(tokens int) string { return strconv.Itoa(tokens) }

// meanOf is the mean of values with its t-interval.
func meanOf(l labels, protocol, metric, unit string, values []float64) result.Measurement {
	return result.Mean(result.Measurement{Labels: l, Protocol: protocol, Metric: metric, Unit: unit}, values...)
}

// meanStd is the mean and the standard deviation with n-1; the latter is 0 for one value.
func meanStd(x []float64) (mean, std float64) {
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

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// exact is one exact number, e.g. a size.
func exact(l labels, protocol, metric, unit string, value float64) result.Measurement {
	return result.Measurement{Labels: l, Protocol: protocol, Metric: metric, Unit: unit, N: 1, Mean: value}
}

// unbounded names, among the policies, a memory that evicts nothing.
const unbounded = "unbounded store"

// trainedForm is the variant of a model as it was trained.
const trainedForm = "float32"
