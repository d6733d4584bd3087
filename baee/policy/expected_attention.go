package policy

import (
	"math"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// expectedAttention keeps what future queries are expected to attend to, if they are drawn from a normal distribution
// with the mean μ and the covariance Σ of the queries so far: E exp(q·k/√D) = exp(μ·k/√D + kᵀΣk/2D), weighed by the
// length of the value (Devoto et al., "Expected Attention: KV Cache Compression by Estimating Attention from Future
// Queries Distribution", 2025). The memory read has no rotary positions, so none are averaged over. The softmax over
// the entries is monotonous; the logarithm of score × ‖v‖ ranks them the same.
var expectedAttention = Policy{
	Name:   "expected_attention",
	Doc:    "the most attention expected from future queries",
	Source: "Devoto et al. 2025, Expected Attention",
	Needs:  Needs{Projections: true},
	Keep: func(ctx *Context, entries []Entry, budget int) []int {
		n, d := len(entries), ctx.Dim
		spread := make([]float32, n*d) // K Σ
		blas.Gemm(false, false, n, d, d, 1, ctx.Keys, d, ctx.QueryCov, d, 0, spread, d)
		root := math.Sqrt(float64(d))
		return topBy(n, budget, func(i int) (float64, int64) {
			k := row(ctx.Keys, i, d)
			mean := float64(vec.Dot(ctx.QueryMean, k)) / root
			variance := float64(vec.Dot(row(spread, i, d), k)) / float64(2*d)
			return mean + variance + math.Log(norm(row(ctx.Values, i, d))), entries[i].Position
		})
	},
}
