package policy

// fifo is first in, first out: the sliding window of StreamingLLM and Longformer without their global tokens.
var fifo = Policy{
	Name:   "fifo",
	Doc:    "the most recently written",
	Source: "baseline; a sliding window (Beltagy et al. 2020, Longformer)",
	Keep:   func(_ *Context, entries []Entry, budget int) []int { return newest(entries, budget) },
	Paper:  youngest,
}

// youngest is the paper rule: by age alone, in the order of the list.
func youngest(_ *Context, entries []Entry, budget int) []int {
	return bestBy(len(entries), budget, func(i int) (float64, int64) { return -float64(entries[i].Age), 0 })
}
