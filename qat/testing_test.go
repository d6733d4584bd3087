package qat

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// tiny is a model small enough to train in a test.
func tiny() layers.Config {
	return layers.Config{
		Dim: 32, Depth: 2, Heads: 4, VocabSize: 64, MaxLen: 64, NumClasses: 16, KFrac: 0.25, EpisodicSlots: 6,
		EpisodicWriteFrac: 0.1, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: 1024,
	}
}

func newModel(t testing.TB, c layers.Config) *layers.Model {
	t.Helper()
	m, err := layers.NewModel(c, 7)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tinyOptions are DefaultOptions with groups that fit tiny.
func tinyOptions(targets ...Target) Options {
	o := DefaultOptions()
	o.GroupSize = 16
	if len(targets) > 0 {
		o.Targets = targets
	}
	return o
}

func calibrationData(t testing.TB, c layers.Config, batches int) Batches {
	t.Helper()
	b, err := MixtureBatches(c, batches, 3, 48, tasks.Draw{Keys: tasks.Keys1, Seed: 5}.For(tasks.Demonstration, 0))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func prepareTiny(t testing.TB, o Options) *Quantised {
	t.Helper()
	m := newModel(t, tiny())
	c, err := Calibrate(m, calibrationData(t, m.Config, 2))
	if err != nil {
		t.Fatal(err)
	}
	q, err := Prepare(m, c, o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func randomIDs(seed uint64, n, vocab int) []int32 {
	r := rand.New(rand.NewPCG(seed, 3))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(r.IntN(vocab))
	}
	return ids
}

// logits of 2 samples of 40 random tokens.
func logits(t testing.TB, m *layers.Model) []float32 {
	t.Helper()
	inf, err := m.Infer(2, 40, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer inf.Program.Close()
	y, err := inf.Run(randomIDs(9, 80, m.Config.VocabSize), nil)
	if err != nil {
		t.Fatal(err)
	}
	return append([]float32(nil), y...)
}

func tinyFinetune() FinetuneConfig {
	c := DefaultFinetune()
	c.Steps, c.Context, c.Batch = 8, 32, 4
	return c
}

func tinyExperiment() Experiment {
	e := DefaultExperiment()
	e.Options, e.Finetune = tinyOptions(), tinyFinetune()
	e.CalibrationBatches, e.CalibrationBatch, e.CalibrationContext = 2, 3, 32
	return e
}

// looks is a context that ends once it has been looked at a number of times: before each step, and each batch of a
// calibration or an evaluation.
type looks struct {
	context.Context
	left int
}

func (c *looks) Err() error {
	if c.left == 0 {
		return context.Canceled
	}
	c.left--
	return nil
}

// packedWeights are those in packed form, by name.
func packedWeights(m *layers.Model) map[string]*scheme.Packed {
	packed := map[string]*scheme.Packed{}
	for _, w := range m.Params.Weights() {
		if w.Packed != nil {
			packed[w.Name] = w.Packed
		}
	}
	return packed
}
