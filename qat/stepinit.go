package qat

import "math"

// leastSquares gives each channel the log step with the least squared error of its quantised weights among 60 steps
// between 1/4 of the initial one, at which no weight is clipped, and the initial one itself. Of equals the largest.
func leastSquares(w, initial []float32, scheme Scheme) []float32 {
	const candidates = 60
	n := len(w) / len(initial)
	best := make([]float32, len(initial))
	for ch, start := range initial {
		least := math.Inf(1)
		for i := range candidates {
			logStep := start + float32(math.Log(1-0.75*float64(i)/candidates))
			if e := squaredError(w[ch*n:(ch+1)*n], math.Exp(float64(logStep)), scheme); e < least {
				least, best[ch] = e, logStep
			}
		}
	}
	return best
}

// squaredError is Σ (ŵ - w)² of a channel.
func squaredError(w []float32, step float64, scheme Scheme) float64 {
	var sum float64
	for _, x := range w {
		u := min(max(float64(x)/step, -1.5), 1.5)
		level := math.RoundToEven(u-0.5) + 0.5
		if scheme == Scheme7Level {
			level = math.RoundToEven(2*u) / 2
		}
		d := level*step - float64(x)
		sum += d * d
	}
	return sum
}
