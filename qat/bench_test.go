package qat

import (
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
)

// benchStep is a training step of the reference model at batch 4 and 1024 tokens, the multi-seed experiment's.
type benchStep struct {
	program     *layers.Trainer
	opt         *optimiser
	quantised   *Quantised
	ids, labels []int32
}

func newBenchStep(b *testing.B, o *Options) *benchStep {
	b.Helper()
	m, err := layers.NewModel(layers.Reference(), 42)
	if err != nil {
		b.Fatal(err)
	}
	c := DefaultFinetune()
	s := &benchStep{ids: randomIDs(1, c.Batch*c.Context, m.Config.VocabSize), labels: []int32{1, 2, 3, 4}}
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
		if s.quantised, err = Prepare(m, calibration, *o); err != nil {
			b.Fatal(err)
		}
		terms = s.quantised.Drift(c.Lambda)
	}
	if s.program, err = m.Train(c.Batch, c.Context, terms...); err != nil {
		b.Fatal(err)
	}
	s.opt = newOptimiser(m, s.quantised, recipe{c.Beta1, c.Beta2, c.WeightDecay, c.Clip})
	return s
}

func (s *benchStep) run(b *testing.B) time.Duration {
	b.Helper()
	start := time.Now()
	if _, err := s.opt.step(s.program, s.quantised, s.ids, s.labels, 1e-5, 1e-3); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkStep compares a step through quantisers with one in floating point. The two take turns, and the metric qat/fp is
// the ratio of the fastest step of each, which other work on the machine disturbs least.
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
			defer fp.program.Program.Close()
			defer quantised.program.Program.Close()
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
