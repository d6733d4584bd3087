package policy

import (
	"math/bits"
	"slices"
)

// scissorhands trusts in the persistence of importance: what was pivotal will be. An entry is pivotal in a read if it
// receives at least the mean attention; out go those that were not pivotal most often within a window of past reads,
// except for the most recent entries (Liu et al., "Scissorhands: Exploiting the Persistence of Importance Hypothesis
// for LLM KV Cache Compression at Test Time", NeurIPS 2023, algorithm 2). The window is 64 reads and a tenth of the
// budget is recent. The paper drops half of a full cache at a time, to save work; here exactly what is too much goes.
//
// The paper rule takes 40% of the budget by accumulated attention, 40% by age and the rest by salience, each at least
// 1: a budget below 3 is exceeded.
var scissorhands = Policy{
	Name:   "scissorhands",
	Doc:    "the fewest reads without importance, and the most recent",
	Source: "Liu et al. 2023, Scissorhands, NeurIPS",
	Keep: func(_ *Context, entries []Entry, budget int) []int {
		recent := newest(entries, max(1, budget/10))
		return recentAndBest(entries, budget, recent, func(i int) float64 {
			e := entries[i]
			history := min(e.Reads, 64)
			unimportant := history - bits.OnesCount64(e.Pivotal)
			return -float64(unimportant) + e.Attention/(1+e.Attention) // below 1: decides among equals only
		})
	},
	Paper: func(ctx *Context, entries []Entry, budget int) []int {
		persistent := max(1, int(0.4*float64(budget)))
		recent := max(1, int(0.4*float64(budget)))
		fresh := max(1, budget-persistent-recent)
		kept := bestBy(len(entries), persistent, func(i int) (float64, int64) { return entries[i].Attention, 0 })
		slices.Sort(kept)
		next := paperRest(ctx, entries, kept, recent, youngest)
		slices.Sort(next)
		kept = append(kept, next...)
		return append(kept, paperRest(ctx, entries, kept, fresh, keepSalient)...)
	},
}

// paperRest applies a rule to the entries that are not in kept.
func paperRest(ctx *Context, entries []Entry, kept []int, budget int, rule Func) []int {
	in := make([]bool, len(entries))
	for _, i := range kept {
		in[i] = true
	}
	var rest []Entry
	var at []int
	for i, e := range entries {
		if !in[i] {
			rest, at = append(rest, e), append(at, i)
		}
	}
	chosen := rule(ctx, rest, budget)
	for j, i := range chosen {
		chosen[j] = at[i]
	}
	return chosen
}
