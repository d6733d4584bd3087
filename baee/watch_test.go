package baee

import (
	"math"
	"slices"
	"testing"

	"github.com/synapnet/synapnet-train/layers"
)

// What a training graph tells of its chunks makes the examples that a stream makes, up to the half precision in which
// the stream reads; with a budget they are of what is kept.
func TestExamplesOfTrainingAreThoseOfAStream(t *testing.T) {
	const chunk, chunks, samples = 20, 3, 2
	m := model(t, 3, 0.15, 3) // 3 of 4 slots are written
	var ids []int32
	watch := func(memory *Manager, do func()) []Decision {
		w := Watcher{Dim: m.Config.Dim, Slots: m.Config.EpisodicSlots}
		memory.Observe = w.Observe
		do()
		return w.Decisions()
	}
	var want [samples][]Decision
	for i := range samples {
		own := tokens(uint64(i), chunk*chunks)
		ids = append(ids, own...)
		s := stream(t, m, forModel(m, "fifo", 100), chunk)
		want[i] = watch(s.Memory(), func() { push(t, s, own) })
	}
	g, err := m.TrainOn(layers.TrainSpec{Batch: samples, Tokens: chunk * chunks, Chunks: chunks, Reads: true})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Program.Close()
	batch := layers.Batch{IDs: ids, Labels: make([]int32, samples), Kept: []int32{3, 2}}
	if _, err := g.RunBatch(batch); err != nil {
		t.Fatal(err)
	}
	for i := range samples {
		memory := newManager(t, forModel(m, "fifo", 100))
		got := watch(memory, func() {
			for c := range chunks {
				for block := range m.Config.Depth {
					if err := memory.TakeChunk(block, g.ChunkRead(i, c, block), int64(c*chunk)); err != nil {
						t.Fatal(err)
					}
				}
				memory.EndChunk()
			}
		})
		for at, d := range got {
			if n := (at/m.Config.Depth + 1) * int(batch.Kept[i]); len(d.Entries) != n || d.Layer != want[i][at].Layer ||
				(d.Attended == nil) != (at >= (chunks-1)*m.Config.Depth) {
				t.Errorf("sample %d, decision %d: %d entries of layer %d, labels %v, want %d", i, at, len(d.Entries), d.Layer,
					d.Attended, n)
			}
			if i == 1 {
				continue // it keeps less than the stream
			}
			for j, x := range d.Features {
				if y := want[i][at].Features[j]; math.Abs(float64(x-y)) > 5e-3*(1+math.Abs(float64(y))) {
					t.Errorf("decision %d: feature %d is %g, want %g", at, j, x, y)
				}
			}
			if !slices.Equal(d.Attended, want[i][at].Attended) {
				t.Errorf("decision %d: labels %v, want %v", at, d.Attended, want[i][at].Attended)
			}
		}
	}
}
