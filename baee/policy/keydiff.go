package policy

import (
	"math"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// keyDiff keeps the keys that differ most from the others: those with the least cosine similarity to the mean of all
// normalised keys (Park et al., "KeyDiff: Key Similarity-Based KV Cache Eviction for Long-Context LLM Inference in
// Resource-Constrained Environments", 2025). It decides after every chunk, as the paper does block by block.
var keyDiff = Policy{
	Name:   "keydiff",
	Doc:    "the keys least similar to the mean key",
	Source: "Park et al. 2025, KeyDiff",
	Needs:  Needs{Projections: true},
	Keep: func(ctx *Context, entries []Entry, budget int) []int {
		anchor := make([]float32, ctx.Dim)
		for i := range entries {
			k := row(ctx.Keys, i, ctx.Dim)
			if n := norm(k); n > 0 {
				vec.Axpy(anchor, float32(1/n), k)
			}
		}
		return topBy(len(entries), budget, func(i int) (float64, int64) {
			k := row(ctx.Keys, i, ctx.Dim)
			similarity := 0.0
			if n := norm(k); n > 0 {
				similarity = float64(vec.Dot(k, anchor)) / n // the anchor's length is the same for all
			}
			return -similarity, entries[i].Position
		})
	},
}

func row(x []float32, i, d int) []float32 { return x[i*d : (i+1)*d] }

func norm(x []float32) float64 { return math.Sqrt(vec.SumSq(x)) }
