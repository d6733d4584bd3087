package tokenizer

import "container/heap"

// symbol is a piece of text between merges of byte pair encoding: the span [start, end), and its neighbours.
type symbol struct {
	start, end int
	id         int32
	prev, next int  // indices of symbols; -1: none
	fixed      bool // it takes part in no merge
}

// merge is a candidate: the symbol at left and its neighbour, which together end at end.
type merge struct {
	left, end int
	rank      float64
	id        int32
}

// merges is a heap: the lowest rank first, the leftmost of one rank.
type merges []merge

func (m merges) Len() int      { return len(m) }
func (m merges) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m merges) Less(i, j int) bool {
	return m[i].rank < m[j].rank || m[i].rank == m[j].rank && m[i].left < m[j].left
}

// Push is for package heap.
func (m *merges) Push(x any) { *m = append(*m, x.(merge)) }

// Pop is for package heap.
func (m *merges) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// mergeAll joins neighbouring symbols until none can be, always the pair of the lowest rank and of those the leftmost
// (Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, 2016, algorithm 1). pair says what two
// neighbours become, if anything. It takes time n log n.
func mergeAll(symbols []symbol, pair func(left, right *symbol) (rank float64, id int32, ok bool)) []symbol {
	var queue merges
	suggest := func(left int) {
		if left < 0 || symbols[left].next < 0 {
			return
		}
		l, r := &symbols[left], &symbols[symbols[left].next]
		if l.fixed || r.fixed {
			return
		}
		if rank, id, ok := pair(l, r); ok {
			heap.Push(&queue, merge{left: left, end: r.end, rank: rank, id: id})
		}
	}
	for i := range symbols {
		symbols[i].prev, symbols[i].next = i-1, i+1
	}
	if len(symbols) > 0 {
		symbols[len(symbols)-1].next = -1
	}
	for i := range symbols {
		suggest(i)
	}
	merged := make([]bool, len(symbols)) // into the symbol on its left
	for len(queue) > 0 {
		m := heap.Pop(&queue).(merge)
		l := &symbols[m.left]
		if merged[m.left] || l.next < 0 || symbols[l.next].end != m.end {
			continue // one of the two has become another since
		}
		r := &symbols[l.next]
		merged[l.next] = true
		l.end, l.id, l.next = r.end, m.id, r.next
		if r.next >= 0 {
			symbols[r.next].prev = m.left
		}
		suggest(l.prev)
		suggest(m.left)
	}
	left := symbols[:0]
	for i, s := range symbols {
		if !merged[i] {
			left = append(left, s)
		}
	}
	return left
}
