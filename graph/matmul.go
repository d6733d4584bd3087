package graph

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph/blas"
)

// MatMul is the matrix product y = a b of two nodes, for a [M, K] and b [K, N], or of as many matrices as their equal
// leading dimensions say: a [..., M, K], b [..., K, N], y [..., M, N]. ∂a = ∂y bᵀ, ∂b = aᵀ ∂y.
func MatMul(g *Graph, a, b *Node) *Node { return Apply(g, matMul{}, a, b) }

type matMul struct{}

func (matMul) String() string { return "matmul" }

func (matMul) Plan(in []Spec) (Plan, error) {
	a, b := in[0], in[1]
	n := len(a.Shape)
	if a.Ints || b.Ints || n < 2 || len(b.Shape) != n || !slices.Equal(a.Shape[:n-2], b.Shape[:n-2]) ||
		a.Shape[n-1] != b.Shape[n-2] {
		return Plan{}, fmt.Errorf("got %v and %v, want floats [..., M, K] and [..., K, N]", a.Shape, b.Shape)
	}
	return Plan{Out: withLast(a, b.Shape[n-1])}, nil
}

// matMulSizes are the number of products and the sizes of each, [m, k] times [k, n].
func matMulSizes(a, b Tensor) (count, m, k, n int) {
	m, k, n = a.Dim(-2), a.Dim(-1), b.Dim(-1)
	return len(a.F) / (m * k), m, k, n
}

func (matMul) Forward(c *Call) {
	count, m, k, n := matMulSizes(c.In[0], c.In[1])
	perProduct := tiles(m, gemmRows)
	Parallel(count*perProduct, func(i int) {
		p := i / perProduct
		from, to := tile(i%perProduct, gemmRows, m)
		a, b, y := c.In[0].F[p*m*k:], c.In[1].F[p*k*n:], c.Out.F[p*m*n:]
		blas.Gemm(false, false, to-from, n, k, 1, a[from*k:to*k], k, b[:k*n], n, 0, y[from*n:to*n], n)
	})
}

func (matMul) Backward(c *Call) {
	count, m, k, n := matMulSizes(c.In[0], c.In[1])
	forA, forB := 0, 0
	if c.GradIn[0].F != nil {
		forA = tiles(m, gemmRows)
	}
	if c.GradIn[1].F != nil {
		forB = tiles(k, weightRows)
	}
	Parallel(count*(forA+forB), func(i int) {
		p, part := i/(forA+forB), i%(forA+forB)
		dy := c.Grad.F[p*m*n : (p+1)*m*n]
		if part < forA {
			from, to := tile(part, gemmRows, m)
			b, da := c.In[1].F[p*k*n:(p+1)*k*n], c.GradIn[0].F[p*m*k:]
			blas.Gemm(false, true, to-from, k, n, 1, dy[from*n:to*n], n, b, n, 0, da[from*k:to*k], k)
			return
		}
		from, to := tile(part-forA, weightRows, k)
		a, db := c.In[0].F[p*m*k:(p+1)*m*k], c.GradIn[1].F[p*k*n:]
		blas.Gemm(true, false, to-from, n, m, 1, a[from:], k, dy, n, 0, db[from*n:to*n], n)
	})
}
