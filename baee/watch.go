package baee

import (
	"slices"

	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// Watcher keeps what a memory shows of one sequence, of which nothing is evicted, so that an entry keeps its index: it
// knows what an eviction would have seen after each chunk, and what was read later.
type Watcher struct {
	Dim, Slots int
	seen       []Decision
}

// Decision is the state of one layer after one chunk.
type Decision struct {
	Layer    int
	Features []float32 // [N, D + HistoryFeatures], of each entry
	Entries  []policy.Entry
	// Attended labels the entries with 1 that are among the 30% (PositiveShare) which received most attention in all later
	// chunks; nil after the last chunk.
	Attended []float32

	received []float64 // in this chunk
}

// Observe is the memory's Manager.Observe.
func (w *Watcher) Observe(o Observation) {
	width := w.Dim + HistoryFeatures
	d := Decision{Layer: o.Layer, Features: make([]float32, len(o.Entries)*width), Entries: slices.Clone(o.Entries)}
	for j := range o.Entries {
		f := d.Features[j*width : (j+1)*width]
		o.Content(f[:w.Dim], j)
		History(f[w.Dim:], &o.Entries[j], w.Slots)
		d.received = append(d.received, float64(o.Received[j]))
	}
	w.seen = append(w.seen, d)
}

// Decisions are those of the sequence, in its order.
func (w *Watcher) Decisions() []Decision {
	later := map[int][]float64{} // by layer: attention received in the chunks after the one looked at
	for at := len(w.seen) - 1; at >= 0; at-- {
		d := &w.seen[at]
		if sum := later[d.Layer]; sum != nil {
			d.Attended = make([]float32, len(d.Entries))
			for _, j := range policy.Best(sum[:len(d.Entries)], int(PositiveShare*float64(len(d.Entries)))) {
				d.Attended[j] = 1
			}
		} else {
			later[d.Layer] = make([]float64, len(d.Entries))
		}
		for j, r := range d.received {
			later[d.Layer][j] += r
		}
	}
	return w.seen
}

// TakeChunk updates layer i with what a training graph tells of a chunk whose first token has the given position in the
// sequence. The memory must hold what was kept of the chunks before.
func (m *Manager) TakeChunk(i int, c layers.ChunkRead, position int64) error {
	r := Read{
		Bank: c.Bank, Queries: c.Queries, WindowQueries: 1, WindowStart: position + int64(c.Tokens) - 1,
		All: c.Received[graph.ReceivedAll], Window: c.Received[graph.ReceivedWindow], Last: c.Received[graph.ReceivedLast],
	}
	r.wrote(c.Written, c.Salience, position)
	return m.Update(i, r)
}

// wrote sets the tokens that were written, at positions of a chunk whose first token has a position in the stream.
func (r *Read) wrote(at []int32, salience []float32, position int64) {
	for _, p := range at {
		r.Positions = append(r.Positions, position+int64(p))
		r.Salience = append(r.Salience, salience[p])
	}
}
