package policy

// h2o keeps heavy hitters and recent entries in equal parts: heavy hitters are those with the most attention received,
// accumulated over all reads (Zhang et al., "H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large
// Language Models", NeurIPS 2023, algorithm 1 and section 5: half of the budget for each).
//
// The paper rule is accumulated attention + 0.3 salience.
var h2o = Policy{
	Name:   "h2o",
	Doc:    "half the most attention accumulated, half the most recent",
	Source: "Zhang et al. 2023, H2O, NeurIPS",
	Keep: func(_ *Context, entries []Entry, budget int) []int {
		return recentAndBest(entries, budget, newest(entries, budget/2), func(i int) float64 { return entries[i].Attention })
	},
	Paper: func(_ *Context, entries []Entry, budget int) []int {
		return bestBy(len(entries), budget, func(i int) (float64, int64) {
			return entries[i].Attention + float64(0.3*float64(entries[i].Salience)), 0
		})
	},
}
