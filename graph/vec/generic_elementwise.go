package vec

import "math"

func addGo(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func mulGo(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func mulAddGo(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = madd(a[i], b[i], dst[i])
	}
}

func axpyGo(dst []float32, alpha float32, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = madd(alpha, x[i], dst[i])
	}
}

func scaleGo(dst []float32, alpha float32, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = alpha * x[i]
	}
}

// madd is a·b + c rounded from float64, as close to the fused instruction of
// the assembly as portable code gets without a call.
func madd(a, b, c float32) float32 {
	return float32(float64(a)*float64(b) + float64(c))
}

func expGo(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = exp32(x[i])
	}
}

func sigmoidGo(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i], _ = logistic(x[i])
	}
}

func sigmoidGradGo(dst, y, dy []float32) {
	y, dy = y[:len(dst)], dy[:len(dst)]
	for i := range dst {
		dst[i] = dy[i] * y[i] * (1 - y[i])
	}
}

func geluGo(dst, x []float32) {
	x = x[:len(dst)]
	for i, v := range x {
		a, q, _ := normalTail(v)
		if v < 0 {
			v = 0
		}
		dst[i] = float32(float64(v) - a*q)
	}
}

func geluGradGo(dst, x, dy []float32) {
	x, dy = x[:len(dst)], dy[:len(dst)]
	for i, v := range x {
		a, q, e := normalTail(v)
		f := 1 - q + a*e*invSqrt2Pi
		if v < 0 {
			f = q - a*e*invSqrt2Pi
		}
		dst[i] = dy[i] * float32(f)
	}
}

func siluGo(dst, x []float32) {
	x = x[:len(dst)]
	for i, v := range x {
		s, _ := logistic(v)
		if v < -linearBound {
			v = -linearBound
		}
		dst[i] = v * s
	}
}

func siluGradGo(dst, x, dy []float32) {
	x, dy = x[:len(dst)], dy[:len(dst)]
	for i := range dst {
		s, c := logistic(x[i])
		dst[i] = dy[i] * (s * madd(clampLinear(x[i]), c, 1))
	}
}

func reluGo(dst, x []float32) {
	x = x[:len(dst)]
	for i, v := range x {
		if v < 0 {
			v = 0
		}
		dst[i] = v
	}
}

func reluGradGo(dst, y, dy []float32) {
	y, dy = y[:len(dst)], dy[:len(dst)]
	for i := range dst {
		if y[i] > 0 {
			dst[i] = dy[i]
		} else {
			dst[i] = 0
		}
	}
}

func softmaxGradGo(ds, p, dp []float32, delta float32) {
	p, dp = p[:len(ds)], dp[:len(ds)]
	for i := range ds {
		ds[i] = p[i] * (dp[i] - delta)
	}
}

func expScaleGo(dst, x []float32, scale, shift float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = exp32(madd(x[i], scale, -shift))
	}
}

func expScaleBiasGo(dst, x []float32, scale float32, bias []float32, shift float32) {
	x, bias = x[:len(dst)], bias[:len(dst)]
	for i := range dst {
		dst[i] = exp32(madd(x[i], scale, bias[i]) - shift)
	}
}

func normApplyGo(dst, x, gamma, beta []float32, mean, rstd float32) {
	x, gamma, beta = x[:len(dst)], gamma[:len(dst)], beta[:len(dst)]
	for i := range dst {
		dst[i] = madd((x[i]-mean)*rstd, gamma[i], beta[i])
	}
}

func normGradApplyGo(dx, dy, x, gamma []float32, mean, rstd, avgG, avgGX float32) {
	dy, x, gamma = dy[:len(dx)], x[:len(dx)], gamma[:len(dx)]
	for i := range dx {
		xhat := (x[i] - mean) * rstd
		dx[i] = rstd * madd(-xhat, avgGX, madd(dy[i], gamma[i], -avgG))
	}
}

func adamwGo(w, m, v, g []float32, gradScale, decay, b1, c1, b2, c2, sqrtBias2, eps, negStep float32) {
	m, v, g = m[:len(w)], v[:len(w)], g[:len(w)]
	for i := range w {
		gs := g[i] * gradScale
		mi := madd(c1, gs, b1*m[i])
		vi := madd(c2*gs, gs, b2*v[i])
		m[i], v[i] = mi, vi
		den := float32(math.Sqrt(float64(vi)))/sqrtBias2 + eps
		w[i] = w[i]*decay + negStep*mi/den
	}
}
