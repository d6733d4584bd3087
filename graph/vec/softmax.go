package vec

// ScaleBiasMax computes x = x·scale + bias in place and returns the largest
// result, ignoring NaN (-Inf if there is none). A nil bias counts as 0.
func ScaleBiasMax(x []float32, scale float32, bias []float32) float32 {
	if bias == nil {
		return scaleMaxKernel(x, scale)
	}
	sameLen2("ScaleBiasMax", x, bias)
	return scaleBiasMaxKernel(x, scale, bias)
}

// ExpShiftSum computes x = e^(x-shift) in place and returns Σ x. The exponential
// is that of [Exp]. With the row's maximum as shift this is the numerator and the
// denominator of a softmax; a row of -Inf only has none, and gives NaN.
func ExpShiftSum(x []float32, shift float32) float32 {
	if len(x) <= reduceBlock {
		return expShiftSumKernel(x, shift)
	}
	var s float64
	for len(x) > reduceBlock {
		s += float64(expShiftSumKernel(x[:reduceBlock], shift))
		x = x[reduceBlock:]
	}
	return float32(s + float64(expShiftSumKernel(x, shift)))
}

// ExpScaleBias computes dst = e^(x·scale + bias - shift). A nil bias counts as
// 0. The exponential is that of [Exp].
func ExpScaleBias(dst, x []float32, scale float32, bias []float32, shift float32) {
	sameLen2("ExpScaleBias", dst, x)
	if bias == nil {
		expScaleKernel(dst, x, scale, shift)
		return
	}
	sameLen2("ExpScaleBias", dst, bias)
	expScaleBiasKernel(dst, x, scale, bias, shift)
}

// SoftmaxGrad computes ds = p·(dp - delta), the gradient of a softmax row whose
// output is p, with delta = Σ p·dp computed by the caller.
func SoftmaxGrad(ds, p, dp []float32, delta float32) {
	sameLen3("SoftmaxGrad", ds, p, dp)
	softmaxGradKernel(ds, p, dp, delta)
}
