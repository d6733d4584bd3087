package eviction

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/layers"
)

// collection is a set of examples with what is needed to split it. Their own labels are of attention (or utility, in the
// paper protocol).
type collection struct {
	baee.Examples
	needle   []float32 // strict: the label "written at a token that carries the answer"
	sequence []int     // of each example
	fresh    []bool    // taken in the chunk that wrote the entry
	later    []bool    // there are later chunks: Labels holds for it
}

// add appends an example whose features are there.
func (c *collection) add(attended, needle float32, sequence int, fresh, later bool) {
	c.Labels, c.needle = append(c.Labels, attended), append(c.needle, needle)
	c.sequence, c.fresh, c.later = append(c.sequence, sequence), append(c.fresh, fresh), append(c.later, later)
}

// subset are the examples that belong to a part, with the given labels, as a set of their own. width cuts their features
// short.
func (c *collection) subset(width int, labels []float32, in func(i int) bool) baee.Examples {
	n := 0
	for i := range labels {
		if in(i) {
			n++
		}
	}
	e := baee.Examples{Width: width, Features: make([]float32, 0, n*width), Labels: make([]float32, 0, n)}
	for i, l := range labels {
		if in(i) {
			e.Features = append(e.Features, c.Features[i*c.Width:i*c.Width+width]...)
			e.Labels = append(e.Labels, l)
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
func collectPaper(ctx context.Context, m *layers.Model, sequences, length int, from tasks.Source) (*collection, error) {
	samples, err := tasks.Mixture(sequences, measure.TaskParams(m.Config, length), from, nil)
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
				c.add(0, 0, n, true, true)
				utility = append(utility, float64(sigma)*distinct[slot])
			}
		}
	}
	threshold := slices.Sorted(slices.Values(utility))[int((1-baee.PositiveShare)*float64(len(utility)))]
	for i, u := range utility {
		c.Labels[i] = label(u > threshold)
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
// layer after each chunk as an eviction would: an example is an entry with its features at that time. It has two labels:
// whether it is among the 30% of the entries there that received most attention in all LATER chunks (unknown after the last
// one), and whether it was written at a token that carries the answer. Of each layer and chunk at most PerDecision examples
// are taken, at random.
func collectStrict(ctx context.Context, m *layers.Model, c TrainConfig) (*collection, error) {
	var weights []tasks.Weight
	for _, name := range c.Tasks {
		weights = append(weights, tasks.Weight{Task: name, Share: 1 / float64(len(c.Tasks))})
	}
	samples, err := tasks.Mixture(c.Sequences, measure.TaskParams(m.Config, c.Context), c.source(), weights)
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
		w.examples(all, n, s.Targets, c.PerDecision, rng)
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

// attended are, for each decision, the labels by attention received in later chunks; nil for a layer's last decision.
func (w *watcher) attended() [][]float32 {
	later := map[int][]float64{} // by layer: attention received in the chunks after the one looked at
	labels := make([][]float32, len(w.seen))
	for at := len(w.seen) - 1; at >= 0; at-- {
		d := w.seen[at]
		if sum := later[d.layer]; sum != nil {
			labels[at] = make([]float32, len(d.entries))
			for _, j := range policy.Best(sum[:len(d.entries)], int(baee.PositiveShare*float64(len(d.entries)))) {
				labels[at][j] = 1
			}
		} else {
			later[d.layer] = make([]float64, len(d.entries))
		}
		for j, r := range d.received {
			later[d.layer][j] += r
		}
	}
	return labels
}

// examples adds those of the sequence, in the order of the stream. targets are the positions that carry its answer.
func (w *watcher) examples(all *collection, sequence int, targets []int, perDecision int, rng *rand.Rand) {
	width := w.dim + baee.HistoryFeatures
	for at, attended := range w.attended() {
		d := w.seen[at]
		chosen := rng.Perm(len(d.entries))
		for _, j := range chosen[:min(perDecision, len(chosen))] {
			all.Features = append(all.Features, d.features[j*width:(j+1)*width]...)
			yes := float32(0)
			if attended != nil {
				yes = attended[j]
			}
			needle := label(slices.Contains(targets, int(d.entries[j].Position)))
			all.add(yes, needle, sequence, d.entries[j].Age == 0, attended != nil)
		}
	}
}
