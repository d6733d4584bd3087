package conform

import (
	"fmt"
	"math"
	"slices"
)

// topK holds the first positions of each row of block i against the file's: ours holds all that any reader needs. Where
// the saliences of theirs and ours at a rank differ by less than rounding can tell, either order is right.
func (c *check) topK(i int, top []int32, batch int) {
	name, saliences := fmt.Sprintf("out.topk.%d", i), fmt.Sprintf("out.salience.%d", i)
	k := c.ranks(name, batch, len(top)/batch)
	if c.err != nil {
		return
	}
	var got []int32
	for b := range batch {
		row := top[b*len(top)/batch:]
		got = append(got, row[:k]...)
	}
	c.compareInts(name, got, func(at int, got, want int32) bool {
		s := c.first[saliences]
		row := s[at/k*len(s)/batch:][:len(s)/batch]
		if want < 0 || int(want) >= len(row) {
			return false
		}
		return math.Abs(float64(row[got])-float64(row[want])) <= c.floor(saliences)
	})
}

// ranks is k of the tensor [B, k], where k is at most most.
func (c *check) ranks(name string, batch, most int) int {
	t, ok := c.file.Lookup(name)
	if !ok || len(t.Shape) != 2 || t.Shape[0] != batch || t.Shape[1] > most {
		c.fail("tensor %s is missing or not [%d, up to %d]", name, batch, most)
		return 0
	}
	return t.Shape[1]
}

// bank holds block i's bank [B, S, D] against the file's. The tokens in it are in the order of their salience; where
// got are the file's in another order, which is topK's to judge, they are compared token by token.
func (c *check) bank(i int, bank []float32, top []int32, batch int) {
	name := fmt.Sprintf("out.topk.%d", i)
	want, _ := c.ints(name)
	k := c.ranks(name, batch, len(top)/batch)
	if c.err != nil {
		return
	}
	slots := c.conf.EpisodicSlots
	width := c.conf.Dim
	ordered := slices.Clone(bank)
	for b := range batch {
		got := top[b*len(top)/batch:][:k]
		from, to := bank[b*slots*width:][:slots*width], ordered[b*slots*width:][:slots*width]
		for s, p := range want[b*k:][:min(k, slots)] {
			if at := slices.Index(got, p); at >= 0 && at < slots {
				copy(to[s*width:(s+1)*width], from[at*width:])
			}
		}
	}
	c.compare(fmt.Sprintf("out.membank.%d", i), ordered)
}
