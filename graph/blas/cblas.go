//go:build cgo && (openblas || (accelerate && darwin))

package blas

import (
	"runtime"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/netlib/blas/netlib"
	"gorgonia.org/gorgonia"
)

// slots bounds the calls that are inside the C library at one time. A cgo call
// that takes longer than some 20 µs loses its scheduler slot, so without a bound
// a thousand goroutines could enter at once, each on an operating-system thread
// of its own, and OpenBLAS aborts the process when it runs out of its fixed
// number of packing buffers.
var slots = make(chan struct{}, runtime.NumCPU())

// cblas is netlib with the bound of slots on its sgemm.
type cblas struct{ netlib.Implementation }

// Sgemm is C[m, n] = alpha * op(A)[m, k] * op(B)[k, n] + beta * C[m, n], row-major.
func (cblas) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int,
	beta float32, c []float32, ldc int) {
	sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32,
	c []float32, ldc int) {
	slots <- struct{}{}
	// Deferred, so that a panic about bad arguments does not keep the slot.
	defer release()
	netlib.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func release() { <-slots }

// Implementation returns the library behind [Gemm] in the form gorgonia.Use and
// tensor.Use take. Its level-3 calls are single-threaded.
func Implementation() gorgonia.BLAS { return cblas{} }
