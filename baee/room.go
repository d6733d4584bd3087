package baee

import (
	"github.com/synapnet/synapnet-train/internal/host"
)

// Room is the memory that a stream comes to take besides its model, for plans.
type Room struct {
	Capacity []int  // rows of external memory that the forward pass will have room for, by layer
	Bytes    uint64 // of what the Manager holds beyond what it holds now: contents, and what is known of them
}

// rowBytes is what is known of a row besides its content. The lists of rows grow by copying: for a moment there are
// two.
func (m *Manager) rowBytes() int { return 2 * m.config.metadataBytes() }

// RoomFor is the room of a stream in chunks of `chunk` tokens that goes on with `tokens` more; below 0: with any
// number. What a stream writes bounds it, and the budget does.
func (m *Manager) RoomFor(chunk int, tokens int64) Room {
	r := Room{Capacity: make([]int, len(m.layers))}
	content, held := uint64(0), uint64(m.Total().Bytes)
	for i := range m.layers {
		now, most := m.Rows(i), m.MostRows(i)
		rows := most
		if tokens >= 0 {
			// A chunk may be begun, and the last one need not be whole.
			if chunks := tokens/int64(chunk) + 2; chunks <= int64(most)/int64(m.config.Slots) {
				rows = min(most, now+int(chunks)*m.config.Slots)
			}
		}
		rows = max(rows, now)
		r.Capacity[i] = capacityFor(leastCapacity, rows, most)
		content = host.Plus(content, host.Times(rows, hotBytes(m.config.Dim)))
		r.Bytes = host.Plus(r.Bytes, host.Times(rows-now, m.rowBytes()))
	}
	if b := uint64(m.config.BudgetBytes); b > 0 {
		content = min(content, b)
	}
	r.Bytes = host.Plus(r.Bytes, content-min(content, held))
	return r
}

// capacityFor is the room that a graph of room `now` gets for `rows` rows of at most `most` (0: no limit): twice as
// much as often as is needed, but no more than there will ever be, unless a rule exceeds its budget.
func capacityFor(now, rows, most int) int {
	for now < rows || now == 0 {
		now = max(leastCapacity, 2*now)
	}
	if most > 0 {
		now = max(min(now, most), rows)
	}
	return now
}
