package vec

import "math"

const (
	// expLo is the smallest argument whose exponential is a normal float32,
	// expHi the largest whose exponential is finite.
	expLo = -87.33654
	expHi = 88.72283
	// linearBound limits x where a factor that underflows to 0 would meet an
	// infinite x; beyond it the factor is 0 or 1 anyway.
	linearBound = 104
	// tailMax is where Φ(-a) has underflowed.
	tailMax    = 14
	invSqrt2Pi = 0.39894228040143267794
)

// exp32 is e^x in the range of the normal float32.
func exp32(x float32) float32 {
	if !(x >= expLo) {
		if x != x {
			return x
		}
		return 0
	}
	if x > expHi {
		return float32(math.Inf(1))
	}
	return float32(exp64(float64(x)))
}

// exp64 is e^z for |z| < 700 by n = round(z/ln2), r = z - n·ln2 and the Taylor
// polynomial of degree 8 on |r| <= ln2/2 (error 2e-10), scaled by 2^n.
func exp64(z float64) float64 {
	n := math.Floor(z*math.Log2E + 0.5)
	r := z - n*math.Ln2
	p := 1.0 / 40320
	p = p*r + 1.0/5040
	p = p*r + 1.0/720
	p = p*r + 1.0/120
	p = p*r + 1.0/24
	p = p*r + 1.0/6
	p = p*r + 0.5
	p = p*r + 1
	p = p*r + 1
	return p * math.Float64frombits(uint64(1023+int64(n))<<52)
}

// logistic returns σ(x) and 1-σ(x) = σ(-x), both to full relative accuracy.
func logistic(x float32) (s, c float32) {
	e := exp32(-abs32(x))
	r := 1 / (1 + e)
	if x < 0 {
		return e * r, r
	}
	return r, e * r
}

func abs32(x float32) float32 {
	return math.Float32frombits(math.Float32bits(x) &^ (1 << 31))
}

// clampLinear limits x to ±linearBound and keeps NaN.
func clampLinear(x float32) float32 {
	if x > linearBound {
		return linearBound
	}
	if x < -linearBound {
		return -linearBound
	}
	return x
}

// normalTail returns a = min(|x|, tailMax), q = Φ(-a) and e = e^(-a²/2). With
// t = 1/(1+0.27·a), q = t·P(t)·e to 2.4e-8 of q; _asm/fit computes P.
func normalTail(x float32) (a, q, e float64) {
	a = float64(abs32(x))
	if a > tailMax {
		a = tailMax
	}
	e = exp64(-0.5 * a * a)
	t := 1 / (1 + 0.27*a)
	p := 0.02891527375
	p = p*t - 0.1262552591
	p = p*t + 0.1692913861
	p = p*t - 0.06862094457
	p = p*t + 0.1073993998
	p = p*t + 0.07224030773
	p = p*t + 0.1017591599
	p = p*t + 0.1075505073
	p = p*t + 0.107720181
	return a, t * p * e, e
}
