package layers

import (
	"testing"
)

// A training step of each architecture matched to the reference, forward and backward, batch 4, context 1024.
func BenchmarkArchitectures(b *testing.B) {
	const batch, tokens = 4, 1024
	for _, name := range BuiltinArchitectures() {
		b.Run(name, func(b *testing.B) {
			a, err := ParseArchitecture(name)
			if err != nil {
				b.Fatal(err)
			}
			c, err := MatchedConfig(a, Reference())
			if err != nil {
				b.Fatal(err)
			}
			train, err := newModel(b, c).Train(batch, tokens)
			if err != nil {
				b.Fatal(err)
			}
			defer train.Program.Close()
			ids, labels := samples(c, batch, tokens)
			for b.Loop() {
				if _, err := train.Run(ids, labels); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(batch*tokens*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
