//go:build !cgo || !(openblas || (accelerate && darwin))

package blas

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	"gorgonia.org/gorgonia"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// gonum cuts a product into blocks of 64x64 and starts goroutines from four
// blocks of C on. These tiles stay below that bound, so a call never leaves its
// goroutine and allocates nothing; they also keep the piece of B in the
// first-level cache, as gonum's own blocks do.
const (
	tileM = 64
	tileN = 128
	tileK = 64
)

// sgemm goes through C tile by tile and through k in ascending order, so the
// order of every accumulation is a function of the shape alone.
func sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32,
	c []float32, ldc int) {
	if m <= tileM && n <= tileN && !byPanels(m, n) || m < 0 || n < 0 || k <= 0 {
		// One tile, nothing to sum, or an error: gonum is serial here, and it
		// has the argument checks.
		gonum.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	// alpha 0 and beta 1: gonum checks all arguments of the whole and returns.
	gonum.Implementation{}.Sgemm(tA, tB, m, n, k, 0, a, lda, b, ldb, 1, c, ldc)
	if byPanels(m, n) {
		scaleRows(c, m, n, ldc, beta)
		if alpha != 0 {
			panelProduct(tA, tB, m, n, k, alpha, a, lda, b, ldb, c, ldc)
		}
		return
	}
	for i := 0; i < m; i += tileM {
		for j := 0; j < n; j += tileN {
			tileSum(tA, tB, i, j, min(tileM, m-i), min(tileN, n-j), k, alpha, a, lda, b, ldb, beta, c[i*ldc+j:], ldc)
		}
	}
}

// tileSum computes the tile of C[mi, nj] whose first element is (i, j); c starts
// at that element.
func tileSum(tA, tB blas.Transpose, i, j, mi, nj, k int, alpha float32, a []float32, lda int, b []float32, ldb int,
	beta float32, c []float32, ldc int) {
	for l := 0; l < k; l += tileK {
		gonum.Implementation{}.Sgemm(tA, tB, mi, nj, min(tileK, k-l), alpha,
			a[offset(tA, i, l, lda):], lda, b[offset(tB, l, j, ldb):], ldb, beta, c, ldc)
		beta = 1
	}
}

// offset is the place of element (row, col) of op(X) in the stored X.
func offset(t blas.Transpose, row, col, ld int) int {
	if t == blas.NoTrans {
		return row*ld + col
	}
	return col*ld + row
}

// Name tells which library [Gemm] calls.
func Name() string {
	if vec.HasPanels() {
		return "panels and gonum (pure Go)"
	}
	return "gonum (pure Go)"
}

// Implementation returns the library behind [Gemm] in the form gorgonia.Use and
// tensor.Use take. Called through it, gonum runs large products on several
// goroutines; it cuts C among them and never k, so the results do not depend on
// their number.
func Implementation() gorgonia.BLAS { return gonum.Implementation{} }
