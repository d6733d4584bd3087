package policy

// keyNorm keeps the keys with the smallest L2 norm, which tend to be the ones attended to (Devoto et al., "A Simple and
// Effective L2 Norm-Based Strategy for KV Cache Compression", EMNLP 2024).
var keyNorm = Policy{
	Name:   "knorm",
	Doc:    "the keys of least L2 norm",
	Source: "Devoto et al. 2024, EMNLP",
	Needs:  Needs{Projections: true},
	Keep: func(ctx *Context, entries []Entry, budget int) []int {
		return topBy(len(entries), budget, func(i int) (float64, int64) {
			return -norm(row(ctx.Keys, i, ctx.Dim)), entries[i].Position
		})
	},
}
