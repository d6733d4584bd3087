package blas

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// BenchmarkGemm reports GFLOP/s for the shapes of the reference model (D = 192,
// six heads of 32): with one goroutine, and with two that each do the whole
// shape at the same time. rows=… are tiles of [rows, K] x [K, N].
func BenchmarkGemm(b *testing.B) {
	type shape struct {
		name           string
		transA, transB bool
		m, n, k        int
		ldaPad, ldbPad int
	}
	var shapes []shape
	for _, rows := range []int{128, 256, 512, 1024} {
		for _, nk := range [][2]int{{192, 192}, {768, 192}, {192, 768}} {
			shapes = append(shapes, shape{name: "linear", m: rows, n: nk[0], k: nk[1]})
		}
	}
	for _, rows := range []int{128, 256, 512, 1024} {
		shapes = append(shapes,
			shape{name: "QK", transB: true, m: rows, n: 1024, k: 32, ldaPad: 160, ldbPad: 160},
			shape{name: "PV", m: rows, n: 32, k: 1024, ldbPad: 160})
	}
	for _, nk := range [][2]int{{192, 192}, {192, 768}} {
		for _, k := range []int{256, 512, 1024, 4096} {
			shapes = append(shapes, shape{name: "weight-gradient", transA: true, m: nk[0], n: nk[1], k: k})
		}
	}
	for _, s := range shapes {
		for _, goroutines := range []int{1, 2} {
			name := fmt.Sprintf("%s/m=%d,n=%d,k=%d/goroutines=%d", s.name, s.m, s.n, s.k, goroutines)
			b.Run(name, func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 1))
				products := make([]product, goroutines)
				for i := range products {
					p := product{transA: s.transA, transB: s.transB, m: s.m, n: s.n, k: s.k, alpha: 1}
					p.a, p.lda = matrix(r, s.m, s.k, s.transA, s.ldaPad)
					p.b, p.ldb = matrix(r, s.k, s.n, s.transB, s.ldbPad)
					p.c, p.ldc = matrix(r, s.m, s.n, false, 0)
					p.run()
					products[i] = p
				}
				var wg sync.WaitGroup
				b.ResetTimer()
				for _, p := range products {
					wg.Go(func() {
						for range b.N {
							p.run()
						}
					})
				}
				wg.Wait()
				flops := 2 * float64(s.m) * float64(s.n) * float64(s.k) * float64(goroutines)
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
