package tasks

import "math"

// perClass is the chance level where every class is equally likely: 1/N.
func perClass(p Params) float64 { return 1 / float64(p.Classes) }

// perValue returns the chance level where the label is one of the values that
// remain beside inUse(p) keys, all equally likely.
func perValue(inUse func(Params) int) func(Params) float64 {
	return func(p Params) float64 { return 1 / float64(p.Classes-keyClasses(p.Classes, inUse(p))) }
}

// perCount is the chance level of needlebench/cn: counts 1..MaxCount, equally likely.
func perCount(p Params) float64 { return 1 / float64(p.MaxCount) }

func perPassage(p Params) float64 { return 1 / float64(p.Passages) }

// exactItems bounds the work of mostFrequent: above it ties are rare and the chance
// level is given as 1/N.
const exactItems = 128

// mostFrequent returns the chance level of a task whose label is the most frequent of
// p.Items class tokens, the lowest of equals: with probability share an item is of
// the sample's major class, otherwise of any. The major class is uniform, but ties
// make class 0 the likeliest label; its exact probability is returned.
//
// Item counts are independent Poisson variables conditioned on their sum, so the
// probability that class 0 has k items and no other class more is a coefficient of
// a product of truncated Poisson series.
func mostFrequent(share float64) func(Params) float64 {
	return func(p Params) float64 {
		n, classes := p.Items, float64(p.Classes)
		if n > exactItems {
			return 1 / classes
		}
		minor := float64(n) * (1 - share) / classes
		major := minor + float64(n)*share
		isMajor := zeroWins(n, major, minor, minor, p.Classes)
		isMinor := zeroWins(n, minor, major, minor, p.Classes)
		return isMajor/classes + isMinor*(classes-1)/classes
	}
}

// zeroWins is the probability that no class has more of n items than class 0, where
// the expected counts are zero for class 0, one for class 1 and rest for the others.
func zeroWins(n int, zero, one, rest float64, classes int) float64 {
	total := 0.0
	for k := 1; k <= n; k++ {
		others := multiply(poisson(one, k), power(poisson(rest, k), classes-2, n), n)
		if n-k < len(others) {
			total += poissonAt(zero, k) * others[n-k]
		}
	}
	return total / poissonAt(float64(n), n)
}

func poissonAt(mean float64, k int) float64 {
	if mean == 0 {
		if k == 0 {
			return 1
		}
		return 0
	}
	logFactorial, _ := math.Lgamma(float64(k) + 1)
	return math.Exp(float64(k)*math.Log(mean) - mean - logFactorial)
}

// poisson is the series of probabilities of 0..top.
func poisson(mean float64, top int) []float64 {
	series := make([]float64, top+1)
	for k := range series {
		series[k] = poissonAt(mean, k)
	}
	return series
}

// multiply is the product of two series up to degree top.
func multiply(a, b []float64, top int) []float64 {
	out := make([]float64, min(len(a)+len(b)-1, top+1))
	for i, x := range a {
		for j := 0; j < len(b) && i+j < len(out); j++ {
			out[i+j] += x * b[j]
		}
	}
	return out
}

// power is base^exponent up to degree top.
func power(base []float64, exponent, top int) []float64 {
	out := []float64{1}
	for ; exponent > 0; exponent >>= 1 {
		if exponent&1 == 1 {
			out = multiply(out, base, top)
		}
		base = multiply(base, base, top)
	}
	return out
}
