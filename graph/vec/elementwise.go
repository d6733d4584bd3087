package vec

// Add computes dst = a + b.
func Add(dst, a, b []float32) {
	sameLen3("Add", dst, a, b)
	addKernel(dst, a, b)
}

// Mul computes dst = a·b element by element.
func Mul(dst, a, b []float32) {
	sameLen3("Mul", dst, a, b)
	mulKernel(dst, a, b)
}

// MulAdd computes dst += a·b element by element.
func MulAdd(dst, a, b []float32) {
	sameLen3("MulAdd", dst, a, b)
	mulAddKernel(dst, a, b)
}

// AddTo computes dst += x.
func AddTo(dst, x []float32) {
	sameLen2("AddTo", dst, x)
	addKernel(dst, dst, x)
}

// Axpy computes dst += alpha·x.
func Axpy(dst []float32, alpha float32, x []float32) {
	sameLen2("Axpy", dst, x)
	axpyKernel(dst, alpha, x)
}

// Scale computes dst = alpha·x.
func Scale(dst []float32, alpha float32, x []float32) {
	sameLen2("Scale", dst, x)
	scaleKernel(dst, alpha, x)
}
