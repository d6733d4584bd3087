package vec

import "math"

// NormRow computes one LayerNorm row of length D,
//
//	dst = (x - mean)·rstd·gamma + beta,  rstd = 1/√(var + eps),
//
// with the biased variance taken in a second pass over x. It returns the mean
// and rstd, which [NormRowGrad] needs. An empty row returns 0, 0.
func NormRow(dst, x, gamma, beta []float32, eps float32) (mean, rstd float32) {
	sameLen3("NormRow", dst, x, gamma)
	sameLen2("NormRow", dst, beta)
	if len(x) == 0 {
		return 0, 0
	}
	n := float64(len(x))
	mean = float32(sum64(x) / n)
	rstd = float32(1 / math.Sqrt(sumSqDev64(x, mean)/n+float64(eps)))
	normApplyKernel(dst, x, gamma, beta, mean, rstd)
	return mean, rstd
}

func sumSqDev64(x []float32, mean float32) float64 {
	var s float64
	for len(x) > reduceBlock {
		s += float64(sumSqDevKernel(x[:reduceBlock], mean))
		x = x[reduceBlock:]
	}
	return s + float64(sumSqDevKernel(x, mean))
}

// NormRowGrad is the gradient of [NormRow] for one row. With
// x̂ = (x-mean)·rstd and g = dy·gamma it computes
//
//	dgamma += dy·x̂
//	dbeta  += dy
//	dx      = rstd·(g - avg(g) - x̂·avg(g·x̂))
//
// where avg is the mean over the row. dx may be dy or x itself.
func NormRowGrad(dx, dgamma, dbeta, dy, x, gamma []float32, mean, rstd float32) {
	sameLen3("NormRowGrad", dx, dgamma, dbeta)
	sameLen3("NormRowGrad", dx, dy, x)
	sameLen2("NormRowGrad", dx, gamma)
	if len(x) == 0 {
		return
	}
	var sg, sgx float64
	for i := 0; i < len(x); i += reduceBlock {
		j := min(i+reduceBlock, len(x))
		a, b := normGradSumsKernel(dgamma[i:j], dbeta[i:j], dy[i:j], x[i:j], gamma[i:j], mean, rstd)
		sg += float64(a)
		sgx += float64(b)
	}
	n := float64(len(x))
	normGradApplyKernel(dx, dy, x, gamma, mean, rstd, float32(sg/n), float32(sgx/n))
}
