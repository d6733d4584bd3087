package vec

// Exp computes dst = e^x with a relative error of at most 2.5e-7. Results that
// would be denormal (x < -87.33654) are flushed to 0; x > 88.72283 gives +Inf.
func Exp(dst, x []float32) {
	sameLen2("Exp", dst, x)
	expKernel(dst, x)
}

// Sigmoid computes dst = 1/(1+e^-x). It is accurate relative to the result on
// both sides of 0, and flushes to 0 where [Exp] does.
func Sigmoid(dst, x []float32) {
	sameLen2("Sigmoid", dst, x)
	sigmoidKernel(dst, x)
}

// SigmoidGrad computes dst = dy·y·(1-y), where y is the output of [Sigmoid].
func SigmoidGrad(dst, y, dy []float32) {
	sameLen3("SigmoidGrad", dst, y, dy)
	sigmoidGradKernel(dst, y, dy)
}

// Gelu computes the exact (erf) form dst = x·Φ(x) = x/2·(1+erf(x/√2)).
// The error is below 1e-6·max(|x|, 1). At -Inf the result is the limit, 0.
func Gelu(dst, x []float32) {
	sameLen2("Gelu", dst, x)
	geluKernel(dst, x)
}

// GeluGrad computes dst = dy·(Φ(x) + x·φ(x)), φ the standard normal density and
// Φ its distribution function. At x = ±Inf the factor is its limit, 1 or 0.
func GeluGrad(dst, x, dy []float32) {
	sameLen3("GeluGrad", dst, x, dy)
	geluGradKernel(dst, x, dy)
}

// Silu computes dst = x·σ(x), σ the logistic function. At -Inf the result is
// the limit, 0.
func Silu(dst, x []float32) {
	sameLen2("Silu", dst, x)
	siluKernel(dst, x)
}

// SiluGrad computes dst = dy·σ(x)·(1 + x·(1-σ(x))). At x = ±Inf the factor is
// its limit, 1 or 0.
func SiluGrad(dst, x, dy []float32) {
	sameLen3("SiluGrad", dst, x, dy)
	siluGradKernel(dst, x, dy)
}

// Relu computes dst = max(x, 0).
func Relu(dst, x []float32) {
	sameLen2("Relu", dst, x)
	reluKernel(dst, x)
}

// ReluGrad computes dst = dy where y > 0 and 0 elsewhere; y may be the input or
// the output of [Relu].
func ReluGrad(dst, y, dy []float32) {
	sameLen3("ReluGrad", dst, y, dy)
	reluGradKernel(dst, y, dy)
}
