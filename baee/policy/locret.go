package policy

// locretProxy scores an entry once, when it is written, with a head that was trained to predict the attention it will
// receive; a quarter of the budget is kept for the most recent entries, the stabilisers (Huang et al., "Locret:
// Enhancing Eviction in Long-Context LLM Inference with Trained Retaining Heads", 2024). Other than baee it knows
// nothing of what happened since. The head sees the entry, of which query, key and value are linear maps.
//
// The paper rule is an untrained stand-in: 0.45 salience + 0.25 / (1 + 0.1 age) + 0.30 accumulated attention.
var locretProxy = Policy{
	Name:   "locret_proxy",
	Doc:    "the highest scores of a trained retaining head at the time of writing, and the most recent",
	Source: "Huang et al. 2024, Locret",
	Needs:  Needs{Head: true},
	Keep: func(ctx *Context, entries []Entry, budget int) []int {
		scores := ctx.Head()
		return recentAndBest(entries, budget, newest(entries, budget/4), func(i int) float64 { return float64(scores[i]) })
	},
	Paper: func(_ *Context, entries []Entry, budget int) []int {
		return bestBy(len(entries), budget, func(i int) (float64, int64) {
			e := entries[i]
			decay := 1 / (1 + float64(0.1*float64(e.Age)))
			// Explicit conversions keep the compiler from fusing a product with a sum, which would move ties.
			return float64(float64(0.45*float64(e.Salience))+float64(0.25*decay)) + float64(0.3*e.Attention), 0
		})
	},
}
