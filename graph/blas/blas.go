// Package blas is the one place of the project that calls a single-precision
// matrix multiplication (sgemm). Three builds exist:
//
//   - build tag "openblas" (needs cgo): OpenBLAS through gonum.org/v1/netlib,
//     held to one thread per call;
//   - build tag "accelerate" (macOS, needs cgo): Apple's Accelerate framework
//     through the same binding;
//   - no tag, or cgo switched off: the panels of package vec where the processor
//     has them, and gonum, pure Go with SSE kernels, for what these are too wide
//     for.
//
// Every call of [Gemm] runs on the calling goroutine alone. Parallelism belongs
// to the callers, which cut their work into tiles of fixed size: the partition
// of an accumulation then never depends on the number of processors, and
// neither do the results. The three builds agree with each other to rounding,
// not bit for bit.
package blas

import (
	"gonum.org/v1/gonum/blas"
	"gorgonia.org/gorgonia"
)

// Gemm computes, on row-major matrices,
//
//	C[m, n] = alpha * op(A)[m, k] * op(B)[k, n] + beta * C[m, n]
//
// where op(X) is X, or its transpose if transA (transB) is set. A transposed A
// is stored as [k, m], a transposed B as [n, k]. lda, ldb and ldc are the
// distances between the starts of consecutive stored rows, in elements; they may
// exceed the number of columns, and elements beyond the columns are neither read
// nor written.
//
// With beta == 0 the former content of C is not read: NaN and infinities in it
// do not survive. With k == 0 or alpha == 0 the result is beta * C.
//
// Gemm works on the calling goroutine only, allocates nothing, and may be called
// from many goroutines at once as long as their C do not overlap. The same
// arguments give the same bits in every call within one build on one machine.
//
// It panics if a dimension is negative, a leading dimension is smaller than the
// row it strides over, or a slice is too short: these are errors of the calling
// code, never of a user's input.
func Gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32,
	c []float32, ldc int) {
	sgemm(transpose(transA), transpose(transB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func transpose(t bool) blas.Transpose {
	if t {
		return blas.Trans
	}
	return blas.NoTrans
}

// UseForGorgonia routes the matrix products that Gorgonia and its tensor package
// carry out themselves (gorgonia.Mul, tensor.MatMul, ...) to the library that
// [Gemm] calls. It sets a process-wide variable of those packages, so call it
// once, before any graph runs.
func UseForGorgonia() {
	gorgonia.Use(Implementation())
}
