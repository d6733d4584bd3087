package policy

import (
	"math"
	"math/bits"
	"slices"
)

// Best returns the indices of the k largest scores, the largest first; of equal scores the earlier index comes first,
// as in a stable sort. NaN counts as smallest. It takes O(N) time, and O(k log k) for the order.
func Best(scores []float64, k int) []int {
	return bestBy(len(scores), k, func(i int) (float64, int64) { return scores[i], 0 })
}

// Top is Best in ascending order of the indices, which is found faster.
func Top(scores []float64, k int) []int {
	return topBy(len(scores), k, func(i int) (float64, int64) { return scores[i], 0 })
}

// bestBy is Best of 0 … n-1 by score and, among equal scores, by tie.
func bestBy(n, k int, score func(i int) (score float64, tie int64)) []int {
	all := make([]ranked, n)
	for i := range all {
		s, tie := score(i)
		all[i] = ranked{orderable(s), tie, i}
	}
	k = min(max(k, 0), n)
	partition(all, k)
	slices.SortFunc(all[:k], compare)
	return indices(all[:k])
}

// topBy is bestBy in ascending order of the indices. It looks for the k-th score among bare numbers, which is several
// times faster, and at ties only where they decide.
func topBy(n, k int, score func(i int) (score float64, tie int64)) []int {
	var w workspace
	scores := w.resize(n)
	for i := range scores {
		s, _ := score(i)
		scores[i] = orderable(s)
	}
	return w.top(k, func(i int) int64 { _, tie := score(i); return tie })
}

// workspace is the memory of a choice. A Context keeps one, so that a decision after the first takes none.
type workspace struct {
	scores []float64
	search []float64
	kept   []int
}

func (w *workspace) resize(n int) []float64 {
	w.scores = slices.Grow(w.scores[:0], n)[:n]
	return w.scores
}

// top are the indices of the k largest w.scores, which must not be NaN, in ascending order; of equal scores those with
// the larger tie, then those with the smaller index. They are valid until w is used again.
func (w *workspace) top(k int, tie func(i int) int64) []int {
	n := len(w.scores)
	if k = min(max(k, 0), n); k == 0 {
		return []int{}
	}
	w.kept, w.search = slices.Grow(w.kept[:0], n)[:n], slices.Grow(w.search[:0], n)[:n]
	threshold := kthOf(w.scores, k, w.search)
	count := 0
	for i, s := range w.scores { // no branch that depends on the scores: it would be guessed wrongly too often
		w.kept[count] = i
		count += atLeast(s, threshold)
	}
	if count == k {
		return w.kept[:k]
	}
	return w.dropTied(count, k, threshold, tie)
}

func atLeast(s, threshold float64) int {
	if s >= threshold {
		return 1
	}
	return 0
}

// dropTied leaves k of the count indices in w.kept: out go the worst of those at the threshold.
func (w *workspace) dropTied(count, k int, threshold float64, tie func(i int) int64) []int {
	var tied []ranked
	for _, i := range w.kept[:count] {
		if w.scores[i] == threshold {
			tied = append(tied, ranked{threshold, tie(i), i})
		}
	}
	stay := len(tied) - (count - k)
	partition(tied, stay)
	out := indices(tied[stay:])
	slices.Sort(out)
	kept := w.kept[:0]
	for _, i := range w.kept[:count] {
		if len(out) > 0 && out[0] == i {
			out = out[1:]
			continue
		}
		kept = append(kept, i)
	}
	return kept
}

// orderable takes NaN for the smallest.
func orderable(score float64) float64 {
	if math.IsNaN(score) {
		return math.Inf(-1)
	}
	return score
}

func indices(all []ranked) []int {
	at := make([]int, len(all))
	for i, r := range all {
		at[i] = r.index
	}
	return at
}

// ranges is the number of ranges in which kthOf counts scores.
const ranges = 4096

// kthOf is the k-th largest of x; search, as long as x, is overwritten. The scores are counted in equal ranges between
// the least and the largest of them, and only the range that the k-th is in has to be searched. The range of a score
// never falls as the score grows, so that no two are confused by rounding.
func kthOf(x []float64, k int, search []float64) float64 {
	low, high := x[0], x[0]
	for _, v := range x {
		low, high = min(low, v), max(high, v)
	}
	scale := ranges / (high - low)
	if len(x) < ranges/16 || !(scale > 0) || math.IsInf(scale, 0) { // few, all equal, or infinitely far apart
		return kth(search[:copy(search, x)], k)
	}
	var counts [ranges + 1]int32
	for _, v := range x {
		counts[int((v-low)*scale)]++
	}
	at, above := ranges, 0
	for ; above+int(counts[at]) < k; at-- {
		above += int(counts[at])
	}
	n := 0
	for _, v := range x {
		if int((v-low)*scale) == at {
			search[n] = v
			n++
		}
	}
	return kth(search[:n], k-above)
}

// kth is the k-th largest of x, which it reorders: quickselect in three parts, so that equal numbers do no harm.
func kth(x []float64, k int) float64 {
	for depth := 2 * bits.Len(uint(len(x))); ; depth-- {
		if depth == 0 || len(x) < 16 {
			slices.Sort(x)
			return x[len(x)-k]
		}
		a, b, c := x[0], x[len(x)/2], x[len(x)-1]
		pivot := max(min(a, b), min(max(a, b), c))
		larger, from := 0, len(x) // x[:larger] > pivot, x[from:] < pivot
		for i := 0; i < from; {
			switch v := x[i]; {
			case v > pivot:
				x[i], x[larger] = x[larger], v
				larger++
				i++
			case v < pivot:
				from--
				x[i], x[from] = x[from], v
			default:
				i++
			}
		}
		switch {
		case k <= larger:
			x = x[:larger]
		case k <= from:
			return pivot
		default:
			x, k = x[from:], k-from
		}
	}
}

type ranked struct {
	score float64
	tie   int64
	index int
}

// compare orders the better one first. No two are equal, since indices differ.
func compare(a, b ranked) int {
	if before(a, b) {
		return -1
	}
	return 1
}

func before(a, b ranked) bool {
	if a.score != b.score {
		return a.score > b.score
	}
	if a.tie != b.tie {
		return a.tie > b.tie
	}
	return a.index < b.index
}

// partition brings the k best to the front (quickselect, Hoare 1961). An input on which it does not get ahead is sorted
// instead, so that the worst case is O(N log N).
func partition(x []ranked, k int) {
	for depth := 2 * bits.Len(uint(len(x))); k > 0 && k < len(x); depth-- {
		if depth == 0 || len(x) < 16 {
			slices.SortFunc(x, compare)
			return
		}
		switch p := split(x); {
		case p == k:
			return
		case p > k:
			x = x[:p]
		default: // x[p] itself belongs to the front
			x, k = x[p+1:], k-p-1
		}
	}
}

// split puts the median of three at its final place p, better ones before it and worse ones behind, and returns p.
func split(x []ranked) int {
	last := len(x) - 1
	if mid := last / 2; before(x[mid], x[0]) != before(x[mid], x[last]) {
		x[mid], x[last] = x[last], x[mid]
	} else if before(x[0], x[mid]) != before(x[0], x[last]) {
		x[0], x[last] = x[last], x[0]
	}
	pivot, p := x[last], 0
	for i := range last {
		if before(x[i], pivot) {
			x[i], x[p] = x[p], x[i]
			p++
		}
	}
	x[p], x[last] = x[last], x[p]
	return p
}

// newest are the k entries that were written last.
func newest(entries []Entry, k int) []int {
	return topBy(len(entries), k, func(i int) (float64, int64) { return float64(entries[i].Position), 0 })
}

// recentAndBest keeps the entries in recent, at most budget of them, and fills up with the best of the others.
func recentAndBest(entries []Entry, budget int, recent []int, score func(i int) float64) []int {
	recent = recent[:min(len(recent), budget)]
	in := make([]bool, len(entries))
	for _, i := range recent {
		in[i] = true
	}
	rest := make([]int, 0, len(entries)-len(recent))
	for i := range entries {
		if !in[i] {
			rest = append(rest, i)
		}
	}
	kept := slices.Clone(recent)
	for _, j := range topBy(len(rest), budget-len(recent), func(j int) (float64, int64) {
		return score(rest[j]), entries[rest[j]].Position
	}) {
		kept = append(kept, rest[j])
	}
	return kept
}
