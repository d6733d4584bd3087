package experiments

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/layers"
)

// positiveShare is the part of the examples that are labelled as worth keeping (SPEC section 5).
const positiveShare = 0.3

// collection is a set of examples with what is needed to split it.
type collection struct {
	baee.Examples
	sequence []int  // of each example
	fresh    []bool // taken in the chunk that wrote the entry
}

// subset are the examples that belong to a part, as a set of their own. width cuts their features short.
func (c *collection) subset(width int, in func(i int) bool) baee.Examples {
	e := baee.Examples{Width: width}
	for i := range c.Labels {
		if in(i) {
			e.Features = append(e.Features, c.Features[i*c.Width:i*c.Width+width]...)
			e.Labels = append(e.Labels, c.Labels[i])
		}
	}
	return e
}

// positives counts them.
func (c *collection) positives() int {
	n := 0
	for _, l := range c.Labels {
		if l > 0.5 {
			n++
		}
	}
	return n
}

// collectPaper is the published collection (SPEC section 5): one pass over whole samples of the training mixture, an
// example for each written slot, labelled by salience x distinctiveness above its 70% quantile. The features are content,
// salience, slot over slots, the same again as age, and 0 uses.
func collectPaper(ctx context.Context, m *layers.Model, sequences, length int, seed uint64) (*collection, error) {
	samples, err := tasks.Mixture(sequences, cajqParams(m.Config, length), seed, nil)
	if err != nil {
		return nil, err
	}
	inference, err := m.Infer(1, length, 0)
	if err != nil {
		return nil, err
	}
	defer inference.Program.Close()
	d, slots := m.Config.Dim, m.Config.EpisodicSlots
	c := &collection{Examples: baee.Examples{Width: d + baee.HistoryFeatures}}
	var utility []float64
	for n, s := range samples[:min(sequences, len(samples))] {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := inference.Run(s.IDs, nil); err != nil {
			return nil, err
		}
		for i, block := range m.Blocks {
			bank, salience, top := inference.Bank(i), inference.Salience(i), inference.Top(i)
			distinct := distinctiveness(bank, d)
			for slot := range min(block.Memory.Writes(length), slots) {
				sigma, place := salience[top[slot]], float32(slot)/float32(slots)
				c.Features = append(append(c.Features, bank[slot*d:(slot+1)*d]...), sigma, place, place, 0)
				c.sequence, c.fresh = append(c.sequence, n), append(c.fresh, true)
				utility = append(utility, float64(sigma)*distinct[slot])
			}
		}
	}
	threshold := slices.Sorted(slices.Values(utility))[int((1-positiveShare)*float64(len(utility)))]
	for _, u := range utility {
		c.Labels = append(c.Labels, label(u > threshold))
	}
	return c, nil
}

func label(positive bool) float32 {
	if positive {
		return 1
	}
	return 0
}

// distinctiveness is each row's distance from the mean row of bank [S, D], over the largest.
func distinctiveness(bank []float32, d int) []float64 {
	n := len(bank) / d
	mean := make([]float32, d)
	for s := range n {
		vec.Axpy(mean, 1/float32(n), bank[s*d:(s+1)*d])
	}
	distance, most := make([]float64, n), 0.0
	for s := range n {
		sum := 0.0
		for j, x := range bank[s*d : (s+1)*d] {
			sum += float64(x-mean[j]) * float64(x-mean[j])
		}
		distance[s] = math.Sqrt(sum)
		most = max(most, distance[s])
	}
	for s := range distance {
		distance[s] /= most + 1e-6
	}
	return distance
}

// collectStrict streams samples of the tasks, in equal parts, through a memory that keeps everything, and looks at each
// layer after each chunk as an eviction would: an example is an entry with its features at that time, positive if it is
// among the 30% of the entries there that received most attention in all LATER chunks. Of each layer and chunk at most
// perDecision examples are taken, at random.
func collectStrict(ctx context.Context, m *layers.Model, c BAEETrainConfig) (*collection, error) {
	var weights []tasks.Weight
	for _, name := range c.Tasks {
		weights = append(weights, tasks.Weight{Task: name, Share: 1 / float64(len(c.Tasks))})
	}
	samples, err := tasks.Mixture(c.Sequences, cajqParams(m.Config, c.Context), c.DataSeed, weights)
	if err != nil {
		return nil, err
	}
	k := m.Config
	memory, err := baee.New(baee.Config{
		Dim: k.Dim, Layers: k.Depth, Slots: k.EpisodicSlots, Policy: "fifo", Protocol: baee.Strict,
		EntriesPerLayer: c.Context / c.Chunk * k.EpisodicSlots, Window: min(baee.DefaultWindow, c.Chunk),
	})
	if err != nil {
		return nil, err
	}
	stream, err := baee.NewStream(m, memory, c.Chunk)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	all := &collection{Examples: baee.Examples{Width: k.Dim + baee.HistoryFeatures}}
	rng := rand.New(rand.NewPCG(c.DataSeed, 0x636f6c6c656374))
	for n, s := range samples {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		stream.Reset()
		w := watcher{dim: k.Dim, slots: k.EpisodicSlots}
		memory.Observe = w.observe
		if err := stream.Push(s.IDs, func([]float32) error { return nil }); err != nil {
			return nil, err
		}
		w.examples(all, n, c.PerDecision, rng)
	}
	if all.Len() == 0 {
		return nil, fmt.Errorf("no examples: a context of %d tokens has no later chunk of %d", c.Context, c.Chunk)
	}
	return all, nil
}

// watcher keeps what a memory shows of one sequence. Nothing is evicted, so an entry keeps its index.
type watcher struct {
	dim, slots int
	seen       []decision
}

// decision is the state of one layer after one chunk.
type decision struct {
	layer    int
	features []float32 // [N, D + 4]
	entries  []policy.Entry
	received []float64 // in this chunk
}

func (w *watcher) observe(o baee.Observation) {
	width := w.dim + baee.HistoryFeatures
	d := decision{layer: o.Layer, features: make([]float32, len(o.Entries)*width), entries: slices.Clone(o.Entries)}
	for j := range o.Entries {
		f := d.features[j*width : (j+1)*width]
		o.Content(f[:w.dim], j)
		baee.History(f[w.dim:], &o.Entries[j], w.slots)
		d.received = append(d.received, float64(o.Received[j]))
	}
	w.seen = append(w.seen, d)
}

// examples adds those of the sequence: every decision but each layer's last has later chunks.
func (w *watcher) examples(all *collection, sequence, perDecision int, rng *rand.Rand) {
	later := map[int][]float64{} // by layer: attention received in the chunks after the one looked at
	var parts []decision
	var labels [][]float32
	for at := len(w.seen) - 1; at >= 0; at-- {
		d := w.seen[at]
		if sum := later[d.layer]; sum != nil {
			l := make([]float32, len(d.entries))
			for _, j := range policy.Best(sum[:len(d.entries)], int(positiveShare*float64(len(d.entries)))) {
				l[j] = 1
			}
			parts, labels = append(parts, d), append(labels, l)
		} else {
			later[d.layer] = make([]float64, len(d.entries))
		}
		for j, r := range d.received {
			later[d.layer][j] += r
		}
	}
	width := w.dim + baee.HistoryFeatures
	for p := len(parts) - 1; p >= 0; p-- { // in the order of the stream
		d := parts[p]
		chosen := rng.Perm(len(d.entries))
		for _, j := range chosen[:min(perDecision, len(chosen))] {
			all.Features = append(all.Features, d.features[j*width:(j+1)*width]...)
			all.Labels = append(all.Labels, labels[p][j])
			all.sequence, all.fresh = append(all.sequence, sequence), append(all.fresh, d.entries[j].Age == 0)
		}
	}
}
