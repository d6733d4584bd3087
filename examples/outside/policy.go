package main

import "github.com/synapnet/synapnet-train/baee/policy"

// sinks is an eviction policy: the first entries of a stream stay for good, and beside them the newest ones.
var sinks = policy.Policy{
	Name: "sinks", Doc: "the first quarter of the budget for the oldest entries, the rest for the newest",
	Source: "after Xiao et al., StreamingLLM (2024)",
	Keep: func(_ *policy.Context, entries []policy.Entry, budget int) []int { // entries are in the order of writing
		first := budget / 4
		var kept []int
		for i := range entries {
			if i < first || i >= len(entries)-(budget-first) {
				kept = append(kept, i)
			}
		}
		return kept
	},
}
