package qat

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// Batches is calibration data: token ids in batches of Size samples of Tokens tokens, row by row.
type Batches struct {
	Size, Tokens int
	IDs          [][]int32
}

// MixtureBatches draws `count` batches of `size` samples of the training mixture at the given number of tokens, for a
// model of configuration c.
func MixtureBatches(c layers.Config, count, size, tokens int, from tasks.Source) (Batches, error) {
	if count < 1 || size < 1 {
		return Batches{}, fmt.Errorf("calibration: %d batches of %d samples asked for: use at least 1 of 1", count, size)
	}
	p := tasks.Params{Length: tokens, Vocab: c.VocabSize, Classes: c.NumClasses}
	// The mixture of n samples can have a few less than n (SPEC section 2); four more make up for it.
	samples, err := tasks.Mixture(count*size+len(tasks.TrainingMixture()), p, from, nil)
	if err != nil {
		return Batches{}, fmt.Errorf("calibration: %w", err)
	}
	b := Batches{Size: size, Tokens: tokens}
	for i := range count {
		ids, _ := curriculum.Collate(samples[i*size:(i+1)*size], size)
		b.IDs = append(b.IDs, ids)
	}
	return b, nil
}

// check holds the data against the model that it is meant for.
func (b Batches) check(c layers.Config) error {
	if len(b.IDs) == 0 {
		return fmt.Errorf("calibration data is empty: give at least one batch")
	}
	if b.Tokens < 1 || b.Tokens > c.MaxLen {
		return fmt.Errorf("calibration data has %d tokens a sample: it must have from 1 to the model's max_len %d", b.Tokens,
			c.MaxLen)
	}
	for i, ids := range b.IDs {
		if b.Size < 1 || len(ids) != b.Size*b.Tokens {
			return fmt.Errorf("calibration batch %d has %d token ids, want %d samples of %d tokens", i, len(ids), b.Size,
				b.Tokens)
		}
		for j, id := range ids {
			if id < 0 || int(id) >= c.VocabSize {
				return fmt.Errorf("calibration batch %d, sample %d, position %d has token id %d: the model's vocabulary is 0..%d "+
					"(vocab_size %d); calibrate with data made for it",
					i, j/b.Tokens, j%b.Tokens, id, c.VocabSize-1, c.VocabSize)
			}
		}
	}
	return nil
}

// Calibration is what Calibrate learns of a model, per block.
type Calibration struct {
	Batches int          `json:"batches"`
	Tokens  int          `json:"tokens"` // in all
	Blocks  []BlockStats `json:"blocks"`
}

// BlockStats are the activation statistics of one block, over all tokens.
type BlockStats struct {
	InputMax  []float32 `json:"input_max"`  // [D] max |n| of the attention's input n (SmoothQuant)
	InputNorm []float32 `json:"input_norm"` // [D] running norm of the inputs of Q, K and V, which are n
	OutNorm   []float32 `json:"out_norm"`   // [D] running norm of the output projection's input
}

// Calibrate runs the data through the floating-point model once and collects both kinds of attention statistics (SPEC
// section 4). The running norm starts at the first batch's mean |x| and goes on as norm ← (norm + mean|x|)/2. The model
// is not changed. There are none of the ScaleBridge: its LayerNorm removes mean and scale of its inputs, so nothing
// would be set from them.
func Calibrate(m *layers.Model, data Batches) (*Calibration, error) {
	return CalibrateContext(context.Background(), m, data)
}

// CalibrateOnMixture is CalibrateContext on the data of MixtureBatches.
func CalibrateOnMixture(ctx context.Context, m *layers.Model, count, size, tokens int, from tasks.Source) (*Calibration,
	error) {
	data, err := MixtureBatches(m.Config, count, size, tokens, from)
	if err != nil {
		return nil, err
	}
	return CalibrateContext(ctx, m, data)
}

// CalibrateContext is Calibrate, given up between two batches when ctx ends, with an error that wraps
// train.ErrInterrupted.
func CalibrateContext(ctx context.Context, m *layers.Model, data Batches) (*Calibration, error) {
	if err := m.Config.Architecture.CheckSynapNet(); err != nil {
		return nil, fmt.Errorf("calibration: %w", err)
	}
	if prepared(m) {
		return nil, fmt.Errorf("calibration: the model is quantised already: calibrate the floating-point model")
	}
	if err := finite(m); err != nil {
		return nil, err
	}
	c := &Calibration{Blocks: make([]BlockStats, len(m.Blocks))}
	err := observe(ctx, m, data, func(block int, o observation) {
		c.Blocks[block].add(o, c.Batches == 0)
	}, func() {
		c.Batches++
		c.Tokens += data.Size * data.Tokens
	})
	if err != nil {
		return nil, err
	}
	for i := range c.Blocks {
		if err := c.Blocks[i].finite(i); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// observation holds the activations of one block in one batch, row by row.
type observation struct {
	dim    int
	n, out []float32
}

// observe runs the data through m with observers in place, gives each block's activations of each batch to `see`, and
// calls `done` after each batch.
func observe(ctx context.Context, m *layers.Model, data Batches, see func(block int, o observation),
	done func()) error {
	if err := data.check(m.Config); err != nil {
		return err
	}
	type nodes struct{ n, out *graph.Node }
	seen := make([]nodes, len(m.Blocks))
	for i, b := range m.Blocks {
		b.Attention.Observe = func(g *graph.Graph, n, out *graph.Node) {
			seen[i].n, seen[i].out = n, out
			g.Keep(n, out)
		}
		defer func() { b.Attention.Observe = nil }()
	}
	all := *m
	all.EveryRow = true
	inf, err := all.Infer(data.Size, data.Tokens, 0)
	if err != nil {
		return err
	}
	defer inf.Program.Close()
	for i, ids := range data.IDs {
		if ctx.Err() != nil {
			return fmt.Errorf("calibration: %w after %d of %d batches", train.ErrInterrupted, i, len(data.IDs))
		}
		if _, err := inf.Run(ids, nil); err != nil {
			return fmt.Errorf("calibration batch %d: %w", i, err)
		}
		for block, s := range seen {
			see(block, observation{m.Config.Dim, inf.Program.Value(s.n), inf.Program.Value(s.out)})
		}
		done()
	}
	return nil
}

func (s *BlockStats) add(o observation, first bool) {
	if first {
		s.InputMax = make([]float32, o.dim)
	}
	for i, v := range o.n {
		if a := float32(math.Abs(float64(v))); a > s.InputMax[i%o.dim] || a != a {
			s.InputMax[i%o.dim] = a
		}
	}
	s.InputNorm = runningNorm(s.InputNorm, o.n, o.dim)
	s.OutNorm = runningNorm(s.OutNorm, o.out, o.dim)
}

// runningNorm is (norm + mean|x|)/2 per channel, or the mean alone at the first batch.
func runningNorm(norm, x []float32, dim int) []float32 {
	sums := make([]float64, dim)
	for i, v := range x {
		sums[i%dim] += math.Abs(float64(v))
	}
	next := make([]float32, dim)
	for j, s := range sums {
		next[j] = float32(s / float64(len(x)/dim))
		if norm != nil {
			next[j] = (norm[j] + next[j]) / 2
		}
	}
	return next
}

// finite refuses statistics that are not numbers.
func (s *BlockStats) finite(block int) error {
	for _, t := range []struct {
		name   string
		values []float32
	}{{"attention input", s.InputMax}, {"attention output", s.OutNorm}} {
		if i := notFinite(t.values); i >= 0 {
			return fmt.Errorf("calibration: the %s of block %d is %v in channel %d: the model's activations overflow; its "+
				"weights cannot be used", t.name, block, t.values[i], i)
		}
	}
	return nil
}

// finite refuses a model with weights that are not numbers, naming the first.
func finite(m *layers.Model) error {
	for _, p := range m.Params.All() {
		if i := notFinite(p.Data()); i >= 0 {
			return fmt.Errorf("weight %s has the value %v at %d: the model cannot be quantised; use an earlier checkpoint",
				p.Name, p.Data()[i], i)
		}
	}
	return nil
}

// notFinite is the position of the first value that is NaN or infinite, -1 if there is none.
func notFinite(x []float32) int {
	return slices.IndexFunc(x, func(v float32) bool { return v-v != 0 })
}
