package policy_test

import (
	"fmt"

	"github.com/synapnet/synapnet-train/baee/policy"
)

// A policy of one's own is one call: here, entries that were used in most of their reads.
func ExampleRegister() {
	err := policy.Register(policy.Policy{
		Name: "often_used",
		Doc:  "the highest share of reads in which the entry was used",
		Keep: func(_ *policy.Context, entries []policy.Entry, budget int) []int {
			scores := make([]float64, len(entries))
			for i, e := range entries {
				scores[i] = float64(e.Uses) / float64(e.Reads)
			}
			return policy.Best(scores, budget)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := policy.Lookup("often_used")
	if err != nil {
		fmt.Println(err)
		return
	}
	entries := []policy.Entry{{Uses: 1, Reads: 4}, {Uses: 3, Reads: 4}, {Uses: 1, Reads: 1}}
	fmt.Println(p.Keep(&policy.Context{}, entries, 2))
	// Output: [2 1]
}
