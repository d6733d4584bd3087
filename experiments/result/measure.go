package result

import (
	"math"

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
