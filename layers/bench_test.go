package layers

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
)

func randomBatch(batch, tokens int, c Config) (ids, labels []int32) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range batch * tokens {
		ids = append(ids, int32(rng.IntN(c.VocabSize)))
	}
	for range batch {
		labels = append(labels, int32(rng.IntN(c.NumClasses)))
	}
	return ids, labels
}

// BenchmarkTrainStep is one training step of the reference model: forward, backward, AdamW.
func BenchmarkTrainStep(b *testing.B) {
	for _, tokens := range []int{512, 1024} {
		b.Run(fmt.Sprintf("B4/T%d", tokens), func(b *testing.B) {
			m, err := NewModel(Reference(), 42)
			if err != nil {
				b.Fatal(err)
			}
			t, err := m.Train(4, tokens)
			if err != nil {
				b.Fatal(err)
			}
			ids, labels := randomBatch(4, tokens, m.Config)
			opt := graph.NewAdamW(0.9, 0.95, 1, &graph.Group{LR: 1e-4, Params: m.Params.All()})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := t.Run(ids, labels); err != nil {
					b.Fatal(err)
				}
				if err := opt.Step(t.Program.Gradients()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(t.Program.ArenaBytes())/1e6, "arena-MB")
			b.ReportMetric(float64(4*tokens*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkInference is the forward pass of the reference model on one long sequence.
func BenchmarkInference(b *testing.B) {
	m, err := NewModel(Reference(), 42)
	if err != nil {
		b.Fatal(err)
	}
	inf, err := m.Infer(1, 4096, 0)
	if err != nil {
		b.Fatal(err)
	}
	ids, _ := randomBatch(1, 4096, m.Config)
	for b.Loop() {
		if _, err := inf.Run(ids, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(inf.Program.ArenaBytes())/1e6, "arena-MB")
	b.ReportMetric(float64(4096*b.N)/b.Elapsed().Seconds(), "tokens/s")
}
