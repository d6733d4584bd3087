package qat

import (
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/layers"
)

// benchStep is a training step of the reference model at batch 4 and 1024 tokens, the multi-seed experiment's.
type benchStep struct {
	pass      *pass
	optimiser *train.Optimiser
	samples   []tasks.Sample
}

func newBenchStep(b *testing.B, o *Options) *benchStep {
	b.Helper()
	m, err := layers.NewModel(layers.Reference(), 42)
	if err != nil {
		b.Fatal(err)
	}
	c := DefaultFinetune()
	s := &benchStep{}
	for i := range c.Batch {
		ids := randomIDs(uint64(i), c.Context, m.Config.VocabSize)
		s.samples = append(s.samples, tasks.Sample{IDs: ids, Label: int32(i) + 1})
	}
	var quantised *Quantised
	var terms []layers.Term
	if o != nil {
		data, err := MixtureBatches(m.Config, 1, 2, 128, tasks.Seeded(1).For(tasks.Calibration, 0))
		if err != nil {
			b.Fatal(err)
		}
		calibration, err := Calibrate(m, data)
		if err != nil {
			b.Fatal(err)
		}
		if quantised, err = Prepare(m, calibration, *o); err != nil {
			b.Fatal(err)
		}
		terms = quantised.Drift(c.Lambda)
	}
	if s.pass, err = newPass(m, quantised, c.spec(), terms...); err != nil {
		b.Fatal(err)
	}
	s.optimiser = newOptimiser(m, quantised, train.Recipe{Beta1: c.Beta1, Beta2: c.Beta2, Clip: c.Clip},
		train.Group{Rate: train.Constant(1e-5), WeightDecay: c.WeightDecay}, train.Group{Rate: train.Constant(1e-3)})
	return s
}

func (s *benchStep) run(b *testing.B) time.Duration {
	b.Helper()
	start := time.Now()
	_, gradients, err := s.pass.Backward(s.samples)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.optimiser.Update(0, gradients); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkStep compares a step through quantisers with one in floating point. The two take turns, and the metric
// qat/fp is the ratio of the fastest step of each, which other work on the machine disturbs least.
func BenchmarkStep(b *testing.B) {
	published, compact, full := DefaultOptions(), DefaultOptions(), DefaultOptions()
	compact.Metadata = MetadataCompact
	full.Metadata, full.Targets = MetadataCompact, AllTargets()
	for _, x := range []struct {
		name    string
		options Options
	}{{"cajq_qat", published}, {"compact", compact}, {"full", full}} {
		b.Run(x.name, func(b *testing.B) {
			fp, quantised := newBenchStep(b, nil), newBenchStep(b, &x.options)
			defer fp.pass.close()
			defer quantised.pass.close()
			floating, through := time.Hour, time.Hour
			for b.Loop() {
				floating = min(floating, fp.run(b))
				through = min(through, quantised.run(b))
			}
			b.ReportMetric(float64(through)/float64(floating), "qat/fp")
			b.ReportMetric(through.Seconds()*1e3, "qat-ms")
			b.ReportMetric(floating.Seconds()*1e3, "fp-ms")
		})
	}
}
