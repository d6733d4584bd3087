package eviction

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/layers"
)

// collection is a set of examples with what is needed to split it. Their own labels are of attention (or utility, in
// the paper protocol).
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

// subset are the examples that belong to a part, with the given labels, as a set of their own. width cuts their
// features short.
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
// example for each written slot, labelled by salience x distinctiveness above its 70% quantile. The features are
// content, salience, slot over slots, the same again as age, and 0 uses.
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
// layer after each chunk as an eviction would: an example is an entry with its features at that time. It has two
// labels: whether it is among the 30% of the entries there that received most attention in all LATER chunks (unknown
// after the last one), and whether it was written at a token that carries the answer. Of each layer and chunk at most
// PerDecision examples are taken, at random.
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
		w := baee.Watcher{Dim: k.Dim, Slots: k.EpisodicSlots}
		memory.Observe = w.Observe
		if err := stream.Push(s.IDs, func([]float32) error { return nil }); err != nil {
			return nil, err
		}
		all.addDecisions(w.Decisions(), n, s.Targets, c.PerDecision, rng)
	}
	if all.Len() == 0 {
		return nil, fmt.Errorf("no examples: a context of %d tokens has no later chunk of %d", c.Context, c.Chunk)
	}
	return all, nil
}

// addDecisions adds examples of a sequence, in the order of the stream. targets are the positions that carry its
// answer.
func (c *collection) addDecisions(decisions []baee.Decision, sequence int, targets []int, perDecision int,
	rng *rand.Rand) {
	for _, d := range decisions {
		chosen := rng.Perm(len(d.Entries))
		for _, j := range chosen[:min(perDecision, len(chosen))] {
			c.Features = append(c.Features, d.Features[j*c.Width:(j+1)*c.Width]...)
			yes := float32(0)
			if d.Attended != nil {
				yes = d.Attended[j]
			}
			needle := label(slices.Contains(targets, int(d.Entries[j].Position)))
			c.add(yes, needle, sequence, d.Entries[j].Age == 0, d.Attended != nil)
		}
	}
}
