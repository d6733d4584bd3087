// Command fit computes the polynomial coefficients that the kernels use, by the
// Remez exchange, and prints them with the error of the float64 polynomial.
//
//	go run ./fit
//
// exp:  e^r = 1 + r + r²·Q(r) on |r| <= ln2/2, Q of degree 4, relative error.
// tail: Φ(-a) = t·P(t)·e^(-a²/2), t = 1/(1+c·a) on 0 <= a <= 14, P of degree 8,
// c = 0.27 (the best of a scan for small error and small coefficients),
// relative error. The form is that of Hastings' approximations for erf
// (Abramowitz & Stegun 7.1.26) with a coefficient count that reaches float32.
package main

import (
	"fmt"
	"math"
)

func main() {
	report("exp", 5, -math.Ln2/2, math.Ln2/2,
		func(r float64) float64 { return r * r * math.Exp(-r) },
		func(r float64) float64 { return expTail(r) * math.Exp(-r) })
	fitTail(8, 0.27)
}

// expTail is e^r - 1 - r without cancellation.
func expTail(r float64) float64 {
	s, term := 0.0, r*r/2
	for k := 3.0; k < 24; k++ {
		s += term
		term *= r / k
	}
	return s
}

// fitTail weights the fit so that the residual is relative to Φ(-a).
func fitTail(degree int, c float64) {
	const aMax = 14
	scaled := func(t float64) float64 { // Φ(-a)·e^(a²/2)/t
		a := (1/t - 1) / c
		return 0.5 * math.Erfc(a/math.Sqrt2) * math.Exp(a*a/2) / t
	}
	report(fmt.Sprintf("tail degree %d c=%g", degree, c), degree+1, 1/(1+c*aMax), 1,
		func(t float64) float64 { return 1 / scaled(t) },
		func(float64) float64 { return 1 })
}

// report fits weight(x)·Σ coef[k]·x^k to target(x) on [lo, hi].
func report(name string, n int, lo, hi float64, weight, target func(float64) float64) {
	coef, dev := remez(n, lo, hi, weight, target)
	fmt.Printf("%s: max error %.3g\n", name, dev)
	for k, c := range coef {
		fmt.Printf("  c%d = %.10g\n", k, c)
	}
}

func remez(n int, lo, hi float64, weight, target func(float64) float64) (coef []float64, dev float64) {
	x := make([]float64, n+1)
	for i := range x {
		x[i] = (lo+hi)/2 - (hi-lo)/2*math.Cos(math.Pi*(float64(i)+0.5)/float64(n+1))
	}
	resid := func(t float64) float64 { return weight(t)*horner(coef, t) - target(t) }
	for range 30 {
		coef = levelled(x, weight, target)
		x, dev = extrema(n+1, lo, hi, resid)
	}
	return coef, dev
}

// levelled solves weight·p(x_i) + (-1)^i·e = target(x_i).
func levelled(x []float64, weight, target func(float64) float64) []float64 {
	n := len(x)
	a := make([][]float64, n)
	for i, t := range x {
		row := make([]float64, n+1)
		pw := weight(t)
		for k := range n - 1 {
			row[k] = pw
			pw *= t
		}
		row[n-1] = 1 - 2*float64(i%2)
		row[n] = target(t)
		a[i] = row
	}
	return solve(a)[:n-1]
}

// extrema returns the largest residual of each of the m sign runs.
func extrema(m int, lo, hi float64, f func(float64) float64) ([]float64, float64) {
	const grid = 20000
	var xs, vs []float64
	for i := range grid + 1 {
		t := (lo+hi)/2 - (hi-lo)/2*math.Cos(math.Pi*float64(i)/grid)
		v := f(t)
		if k := len(vs) - 1; k >= 0 && vs[k]*v > 0 {
			if math.Abs(v) > math.Abs(vs[k]) {
				xs[k], vs[k] = t, v
			}
			continue
		}
		xs, vs = append(xs, t), append(vs, v)
	}
	for len(xs) > m { // drop the weaker end
		if math.Abs(vs[0]) < math.Abs(vs[len(vs)-1]) {
			xs, vs = xs[1:], vs[1:]
		} else {
			xs, vs = xs[:len(xs)-1], vs[:len(vs)-1]
		}
	}
	if len(xs) < m {
		panic(fmt.Sprintf("residual has %d sign runs, need %d: rounding noise, lower the degree", len(xs), m))
	}
	dev := 0.0
	for _, v := range vs {
		dev = math.Max(dev, math.Abs(v))
	}
	return xs, dev
}

func horner(c []float64, x float64) float64 {
	s := 0.0
	for k := len(c) - 1; k >= 0; k-- {
		s = s*x + c[k]
	}
	return s
}

// solve is Gaussian elimination with partial pivoting on an augmented matrix.
func solve(a [][]float64) []float64 {
	n := len(a)
	for i := range n {
		p := i
		for r := i; r < n; r++ {
			if math.Abs(a[r][i]) > math.Abs(a[p][i]) {
				p = r
			}
		}
		a[i], a[p] = a[p], a[i]
		for r := i + 1; r < n; r++ {
			f := a[r][i] / a[i][i]
			for k := i; k <= n; k++ {
				a[r][k] -= f * a[i][k]
			}
		}
	}
	x := make([]float64, n)
	for i := n - 1; i >= 0; i-- {
		s := a[i][n]
		for k := i + 1; k < n; k++ {
			s -= a[i][k] * x[k]
		}
		x[i] = s / a[i][i]
	}
	return x
}
