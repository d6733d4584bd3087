package vec

func bestLevel() level { return levelGo }

func addKernel(dst, a, b []float32) { addGo(dst, a, b) }

func mulKernel(dst, a, b []float32) { mulGo(dst, a, b) }

func mulAddKernel(dst, a, b []float32) { mulAddGo(dst, a, b) }

func axpyKernel(dst []float32, alpha float32, x []float32) { axpyGo(dst, alpha, x) }

func scaleKernel(dst []float32, alpha float32, x []float32) { scaleGo(dst, alpha, x) }

func expKernel(dst, x []float32) { expGo(dst, x) }

func sigmoidKernel(dst, x []float32) { sigmoidGo(dst, x) }

func sigmoidGradKernel(dst, y, dy []float32) { sigmoidGradGo(dst, y, dy) }

func geluKernel(dst, x []float32) { geluGo(dst, x) }

func geluGradKernel(dst, x, dy []float32) { geluGradGo(dst, x, dy) }

func siluKernel(dst, x []float32) { siluGo(dst, x) }

func siluGradKernel(dst, x, dy []float32) { siluGradGo(dst, x, dy) }

func reluKernel(dst, x []float32) { reluGo(dst, x) }

func reluGradKernel(dst, y, dy []float32) { reluGradGo(dst, y, dy) }

func softmaxGradKernel(ds, p, dp []float32, delta float32) { softmaxGradGo(ds, p, dp, delta) }

func expScaleKernel(dst, x []float32, scale, shift float32) { expScaleGo(dst, x, scale, shift) }

func expScaleBiasKernel(dst, x []float32, scale float32, bias []float32, shift float32) {
	expScaleBiasGo(dst, x, scale, bias, shift)
}

func normApplyKernel(dst, x, gamma, beta []float32, mean, rstd float32) {
	normApplyGo(dst, x, gamma, beta, mean, rstd)
}

func normGradApplyKernel(dx, dy, x, gamma []float32, mean, rstd, avgG, avgGX float32) {
	normGradApplyGo(dx, dy, x, gamma, mean, rstd, avgG, avgGX)
}

func adamwKernel(w, m, v, g []float32, gradScale, decay, b1, c1, b2, c2, sqrtBias2, eps, negStep float32) {
	adamwGo(w, m, v, g, gradScale, decay, b1, c1, b2, c2, sqrtBias2, eps, negStep)
}

func sumKernel(x []float32) float32 { return sumGo(x) }

func dotKernel(a, b []float32) float32 { return dotGo(a, b) }

func sumSqKernel(x []float32) float64 { return sumSqGo(x) }

func sumSqDevKernel(x []float32, mean float32) float32 { return sumSqDevGo(x, mean) }

func maxKernel(x []float32) float32 { return maxGo(x) }

func anyNaNKernel(x []float32) int { return anyNaNGo(x) }

func nonFiniteKernel(x []float32) int { return nonFiniteGo(x) }

func scaleMaxKernel(x []float32, scale float32) float32 { return scaleMaxGo(x, scale) }

func scaleBiasMaxKernel(x []float32, scale float32, bias []float32) float32 {
	return scaleBiasMaxGo(x, scale, bias)
}

func expShiftSumKernel(x []float32, shift float32) float32 { return expShiftSumGo(x, shift) }

func normGradSumsKernel(dgamma, dbeta, dy, x, gamma []float32, mean, rstd float32) (sg, sgx float32) {
	return normGradSumsGo(dgamma, dbeta, dy, x, gamma, mean, rstd)
}
