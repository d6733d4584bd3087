package tasks

import (
	"math/rand/v2"
	"slices"
)

// choose draws k distinct integers of [0, n), in random order, by Floyd's method
// followed by a shuffle. It is written out here, not taken from a library, because
// the samples of a seed must stay the same whatever version a library has.
func choose(rng *rand.Rand, n, k int) []int {
	seen := make(map[int]struct{}, k)
	out := make([]int, 0, k)
	for top := n - k; top < n; top++ {
		v := rng.IntN(top + 1)
		if _, dup := seen[v]; dup {
			v = top
		}
		seen[v] = struct{}{}
		out = append(out, v)
	}
	rng.Shuffle(k, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// place returns the ascending starts of k runs of width tokens each that lie within
// [lo, hi) and do not overlap; every such arrangement is equally likely.
func place(rng *rand.Rand, lo, hi, k, width int) []int {
	// Taking width-1 tokens out of every run makes the runs single distinct cells.
	starts := choose(rng, hi-lo-k*(width-1), k)
	slices.Sort(starts)
	for i := range starts {
		starts[i] += lo + i*(width-1)
	}
	return starts
}

// fits reports whether k runs of width tokens can lie within [lo, hi).
func fits(lo, hi, k, width int) bool { return hi-lo >= k*width }

// split deals the positions at random into n hands of size each; every hand keeps
// the ascending order.
func split(rng *rand.Rand, positions []int, n, size int) [][]int {
	owner := make([]int, len(positions))
	for i := range owner {
		owner[i] = i / size
	}
	rng.Shuffle(len(owner), func(i, j int) { owner[i], owner[j] = owner[j], owner[i] })
	hands := make([][]int, n)
	for i, pos := range positions {
		hands[owner[i]] = append(hands[owner[i]], pos)
	}
	return hands
}
