package policy

// lru keeps the least recently used out: an entry is used when a read gives it at least an even share of its attention.
// The reference does not track use, so its rule is that of fifo.
var lru = Policy{
	Name:   "lru",
	Doc:    "the most recently used, by attention received",
	Source: "baseline; least recently used (Mattson et al. 1970)",
	Keep: func(_ *Context, entries []Entry, budget int) []int {
		return topBy(len(entries), budget, func(i int) (float64, int64) {
			return float64(entries[i].LastUse), entries[i].Position
		})
	},
	Paper: youngest,
}
