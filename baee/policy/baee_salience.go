package policy

// baeeSalience keeps the entries that were most salient when they were written: what the reference's experiments call
// BAEE (SynapNet-Edge, contribution 2).
var baeeSalience = Policy{
	Name:   "baee_salience",
	Doc:    "the highest salience at the time of writing",
	Source: "SynapNet-Edge, BAEE as evaluated in the reference",
	Keep:   keepSalient,
	Paper:  keepSalient,
	Score: func(_ *Context, entries []Entry) []float64 {
		scores := make([]float64, len(entries))
		for i, e := range entries {
			scores[i] = float64(e.Salience)
		}
		return scores
	},
}

func keepSalient(_ *Context, entries []Entry, budget int) []int {
	return bestBy(len(entries), budget, func(i int) (float64, int64) { return float64(entries[i].Salience), 0 })
}
