package result

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Mean completes m as a mean of repetitions, with the 95% t-interval where there are two or more that differ: from
// equal ones nothing is learnt of the spread.
func Mean(m Measurement, x ...float64) Measurement {
	m.N, m.Mean, m.Std, m.Interval = len(x), stat.Mean(x, nil), 0, nil
	if len(x) > 1 {
		m.Std = stat.StdDev(x, nil)
	}
	if m.Std > 0 {
		n := float64(len(x))
		half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(0.975) * m.Std / math.Sqrt(n)
		m.Interval = &Interval{Low: m.Mean - half, High: m.Mean + half, Method: "t"}
	}
	return m
}

// Permutation is the exact probability that a random assignment of the values to both groups gives means that are as
// far apart as those of a and b or farther, on either side: of a permutation test. It has as many values as n.
func Permutation(l Labels, protocol string, a, b []float64) Measurement {
	all := slices.Concat(a, b)
	total := 0.
	for _, x := range all {
		total += x
	}
	apart := func(sum float64) float64 { // the means, of a sum of the first group
		return math.Abs(sum/float64(len(a)) - (total-sum)/float64(len(b)))
	}
	first := 0.
	for _, x := range a {
		first += x
	}
	const rounding = 1e-9
	least := apart(first) - rounding
	ways, far := 0, 0
	var choose func(from, left int, sum float64)
	choose = func(from, left int, sum float64) {
		if left == 0 {
			if ways++; apart(sum) >= least {
				far++
			}
			return
		}
		for i := from; i+left <= len(all); i++ {
			choose(i+1, left-1, sum+all[i])
		}
	}
	choose(0, len(a), 0)
	return Measurement{Labels: l, Protocol: protocol, Metric: "permutation_p", Unit: "1", N: len(all),
		Mean: float64(far) / float64(ways)}
}
