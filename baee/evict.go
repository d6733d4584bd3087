package baee

import (
	"fmt"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/graph"
)

// evict brings a layer down to its share of the budget.
func (m *Manager) evict(i int, l *layer, ctx *policy.Context) error {
	if m.config.Tiers {
		if err := m.compress(l, ctx); err != nil {
			return err
		}
	} else if most := m.MostRows(i); most > 0 && len(l.entries) > most {
		kept, err := m.choose(l, ctx, most)
		if err != nil {
			return err
		}
		l.evicted += int64(len(l.entries) - len(kept))
		l.take(kept)
	}
	if l.bytes > 0 && l.held() > l.bytes {
		return fmt.Errorf("%d bytes are held where %d are allowed: this is a mistake in the program", l.held(), l.bytes)
	}
	return nil
}

// choose asks the policy which of the entries to keep. It refuses an answer that cannot be: user's policies are run
// here.
func (m *Manager) choose(l *layer, ctx *policy.Context, budget int) ([]int, error) {
	kept := m.keep(ctx, l.entries, budget)
	if len(kept) > budget && m.config.Protocol == Strict {
		return nil, fmt.Errorf("policy %s keeps %d entries where %d are allowed", m.policy.Name, len(kept), budget)
	}
	n := len(l.entries)
	ascending := true
	for at, j := range kept {
		if j < 0 || j >= n {
			return nil, m.wrongChoice(j, n)
		}
		ascending = ascending && (at == 0 || kept[at-1] < j)
	}
	if ascending {
		return kept, nil
	}
	return m.inOrder(kept, n)
}

func (m *Manager) wrongChoice(j, n int) error {
	return fmt.Errorf("policy %s keeps entry %d, which is not one of the %d or was kept before", m.policy.Name, j, n)
}

// inOrder are the chosen ones of n entries in the order of writing, or, in the paper protocol, in that of the choice.
func (m *Manager) inOrder(kept []int, n int) ([]int, error) {
	seen := make([]bool, n)
	for _, j := range kept {
		if seen[j] {
			return nil, m.wrongChoice(j, n)
		}
		seen[j] = true
	}
	if m.config.Protocol == Paper {
		return kept, nil
	}
	ordered := make([]int, 0, len(kept))
	for j, in := range seen {
		if in {
			ordered = append(ordered, j)
		}
	}
	return ordered, nil
}

// take keeps the entries at the given indices, in that order.
func (l *layer) take(kept []int) {
	n := len(l.entries)
	if !slices.IsSorted(kept) { // the paper protocol, which has neither projections nor a head
		entries, contents := slices.Clone(l.entries), slices.Clone(l.contents)
		for to, j := range kept {
			l.entries[to], l.contents[to] = entries[j], contents[j]
		}
		kept = sequence(len(kept))
	}
	moves := [...]func(){
		func() { l.entries = pick(l.entries, kept, n) },
		func() { l.projected, l.head = pick(l.projected, kept, n), pick(l.head, kept, n) },
		func() {
			contents := l.contents
			l.contents = pick(contents, kept, n)
			clear(contents[len(kept):n]) // frees what was evicted
		},
	}
	graph.Parallel(len(moves), func(i int) { moves[i]() })
}

// sequence is 0 … n-1.
func sequence(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// pick moves n equal parts of x at the given ascending indices to the front and drops the others.
func pick[T any](x []T, kept []int, n int) []T {
	if len(x) == 0 {
		return x
	}
	if len(x) == n { // single elements: a copy of each would cost more than the element
		for to, j := range kept {
			x[to] = x[j]
		}
		return x[:len(kept)]
	}
	width := len(x) / n
	for to, j := range kept {
		copy(x[to*width:(to+1)*width], x[j*width:(j+1)*width])
	}
	return x[:len(kept)*width]
}

// summary is the mean of the entries that were merged into it, in half precision.
type summary struct {
	count int64
	data  []byte
}

// summarySlots is how many summaries a layer may have: no more than a quarter of its rows or bytes goes to them.
func (m *Manager) summarySlots(l *layer) int {
	n := m.config.SummarySlots
	if l.bytes > 0 {
		n = min(n, l.bytes/(4*(hotBytes(m.config.Dim)+l.summary)))
	}
	if l.rows > 0 {
		n = min(n, l.rows/4)
	}
	return n
}

// compress is the progressive pipeline of BAEE (SPEC section 5), by need: while a layer is within its share, nothing
// of it changes. Beyond that, as few entries as can be leave, for a summary or, if there can be none, for good; of
// those that stay, as few HOT ones as can be become WARM. It is always the lowest scores that go, whatever they are; of
// equal ones those that were written first, and NaN is below all. An entry never goes back to a higher tier, since what
// was lost does not return: a newer one that is HOT may have a lower score.
func (m *Manager) compress(l *layer, ctx *policy.Context) error {
	if l.fits(len(l.entries), len(l.summaries), l.held()) {
		return nil
	}
	scores := m.policy.Score(ctx, l.entries)
	if len(scores) != len(l.entries) {
		return fmt.Errorf("policy %s gave %d scores for %d entries", m.policy.Name, len(scores), len(l.entries))
	}
	out := slices.Grow(m.out[:0], len(l.entries))[:len(l.entries)]
	clear(out)
	m.out = out
	stays := func(j int) bool { return !out[j] }
	for _, j := range m.lowest(scores, m.leaving(l), stays) {
		out[j] = true
	}
	over := -l.bytes
	for j, gone := range out {
		if gone {
			m.merge(l, j)
		} else {
			over += len(l.contents[j].data) + l.entry
		}
	}
	over += len(l.summaries) * (hotBytes(m.config.Dim) + l.summary)
	if saved := hotBytes(m.config.Dim) - warmBytes(m.config.Dim); l.bytes > 0 && over > 0 && saved > 0 {
		demoted := m.lowest(scores, (over+saved-1)/saved, func(j int) bool { return !out[j] && l.contents[j].tier == Hot })
		for _, j := range demoted {
			m.demote(l, j)
		}
	}
	kept := m.kept[:0]
	for j, gone := range out {
		if !gone {
			kept = append(kept, j)
		}
	}
	m.kept = kept
	l.take(kept)
	return nil
}

// fits says whether a layer may hold so many entries and summaries, in so many bytes.
func (l *layer) fits(entries, summaries, bytes int) bool {
	return (l.bytes == 0 || bytes <= l.bytes) && (l.rows == 0 || entries+summaries <= l.rows)
}

// leaving is the least number of entries that have to leave a layer, of which the others can all become WARM. The
// first to leave take up room, too: each starts a summary while there may be more.
func (m *Manager) leaving(l *layer) int {
	entry, n := min(hotBytes(m.config.Dim), warmBytes(m.config.Dim))+l.entry, len(l.entries)
	for k := range n {
		summaries := max(len(l.summaries), min(len(l.summaries)+k, m.summarySlots(l)))
		if l.fits(n-k, summaries, (n-k)*entry+summaries*(hotBytes(m.config.Dim)+l.summary)) {
			return k
		}
	}
	return n
}

// lowest are the indices of the k lowest scores of those that count, in ascending order; of equal scores the first.
func (m *Manager) lowest(scores []float64, k int, counts func(j int) bool) []int {
	at, negated := m.at[:0], m.negated[:0]
	for j, s := range scores {
		if math.IsNaN(s) {
			s = math.Inf(-1)
		}
		if counts(j) {
			at, negated = append(at, j), append(negated, -s)
		}
	}
	m.at, m.negated = at, negated
	chosen := policy.Top(negated, k)
	for i, j := range chosen {
		chosen[i] = at[j]
	}
	return chosen
}

// demote makes a HOT entry WARM.
func (m *Manager) demote(l *layer, j int) {
	x := make([]float32, m.config.Dim)
	decode(x, Hot, l.contents[j].data)
	l.contents[j] = content{Warm, encodeWarm(x)}
	l.demoted++
	if m.scored() {
		m.project(l, j)
	}
}

// merge puts an entry into a summary: into a new one while there may be more, then into the one whose mean is nearest.
// If there can be none, the entry is evicted.
func (m *Manager) merge(l *layer, j int) {
	d := m.config.Dim
	if m.summarySlots(l) == 0 {
		l.evicted++
		return
	}
	l.merged++
	x := make([]float32, d)
	decode(x, l.contents[j].tier, l.contents[j].data)
	if len(l.summaries) < m.summarySlots(l) {
		l.summaries = append(l.summaries, summary{1, encodeHot(x)})
		return
	}
	best, at := 0.0, -1
	mean, nearest := make([]float32, d), make([]float32, d)
	for i, s := range l.summaries {
		decode(mean, Cold, s.data)
		distance := 0.0
		for k := range x {
			distance += float64(x[k]-mean[k]) * float64(x[k]-mean[k])
		}
		if at < 0 || distance < best {
			best, at = distance, i
			copy(nearest, mean)
		}
	}
	s := &l.summaries[at]
	s.count++
	for k := range x {
		nearest[k] += (x[k] - nearest[k]) / float32(s.count)
	}
	s.data = encodeHot(nearest)
}
