package policy

// tova keeps what the last query attends to most, and nothing else for its own sake (Oren et al., "Transformers are
// Multi-State RNNs", EMNLP 2024: Token Omission Via Attention).
var tova = Policy{
	Name:   "tova",
	Doc:    "the most attention from the last query",
	Source: "Oren et al. 2024, TOVA, EMNLP",
	Keep: func(_ *Context, entries []Entry, budget int) []int {
		return topBy(len(entries), budget, func(i int) (float64, int64) {
			return float64(entries[i].Last), entries[i].Position
		})
	},
}
