package policy

import (
	"cmp"
	"slices"
)

// snapKV keeps the observation window, the last tokens of the chunk, and of the rest what these tokens attend to,
// pooled over neighbouring tokens so that an important one keeps its surroundings (Li et al., "SnapKV: LLM Knows What
// You are Looking for Before Generation", NeurIPS 2024: window 32, max-pooling, kernel 7). Entries are a few tokens of
// a chunk; neighbours are entries at most 3 tokens away.
//
// The paper rule keeps the youngest 30% and then takes accumulated attention + 0.5 salience.
var snapKV = Policy{
	Name:   "snapkv",
	Doc:    "the observation window and what it attends to, pooled over neighbours",
	Source: "Li et al. 2024, SnapKV, NeurIPS",
	Keep:   keepObserved,
	Paper: func(ctx *Context, entries []Entry, budget int) []int {
		window := max(1, int(0.3*float64(budget)))
		byAge := youngest(ctx, entries, len(entries)) // older ones are compared in this order
		older := byAge[min(window, len(byAge)):]
		kept := slices.Clone(byAge[:min(window, len(byAge))])
		for _, j := range bestBy(len(older), budget-window, func(j int) (float64, int64) {
			e := entries[older[j]]
			return e.Attention + float64(0.5*float64(e.Salience)), 0
		}) {
			kept = append(kept, older[j])
		}
		return kept
	},
}

// poolReach is how far, in tokens, max-pooling looks to each side: a kernel of 7.
const poolReach = 3

func keepObserved(ctx *Context, entries []Entry, budget int) []int {
	var window []int
	for _, i := range newest(entries, budget) {
		if entries[i].Position >= ctx.WindowStart {
			window = append(window, i)
		}
	}
	pooled := pool(entries)
	return recentAndBest(entries, budget, window, func(i int) float64 { return float64(pooled[i]) })
}

// pool is each entry's attention from the observation window, or that of a neighbour if it is higher.
func pool(entries []Entry) []float32 {
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(entries[i].Position, entries[j].Position) })
	pooled := make([]float32, len(entries))
	from := 0
	for at, i := range order {
		p := entries[i].Position
		for entries[order[from]].Position < p-poolReach {
			from++
		}
		best := entries[i].Window
		for j := from; j < len(order) && j-at <= poolReach && entries[order[j]].Position <= p+poolReach; j++ {
			best = max(best, entries[order[j]].Window)
		}
		pooled[i] = best
	}
	return pooled
}
