package curriculum

import (
	"math"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
)

// Wilson intervals published elsewhere: Newcombe 1998, table I, method 3, and Brown, Cai and DasGupta 2001.
func TestWilsonIntervals(t *testing.T) {
	for _, c := range []struct {
		correct, n int
		low, high  float64
	}{
		{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718},
		{0, 10, 0, 0.2775}, {5, 10, 0.2366, 0.7634}, {10, 10, 0.7225, 1},
	} {
		a := NewAccuracy(c.correct, c.n)
		if math.Abs(a.Low-c.low) > 5e-5 || math.Abs(a.High-c.high) > 5e-5 {
			t.Errorf("%d of %d: [%.4f, %.4f], want [%.4f, %.4f]", c.correct, c.n, a.Low, a.High, c.low, c.high)
		}
		if a.N != c.n || a.Correct != c.correct || a.Mean != float64(c.correct)/float64(c.n) {
			t.Errorf("%d of %d: %+v", c.correct, c.n, a)
		}
	}
}

// An interval holds the mean, lies in [0, 1], mirrors that of the wrong answers, and narrows with more samples.
func TestIntervalProperties(t *testing.T) {
	property := func(a, b uint16) bool {
		n := 1 + int(b)
		k := int(a) % (n + 1)
		i, wrong, more := NewAccuracy(k, n), NewAccuracy(n-k, n), NewAccuracy(4*k, 4*n)
		const rounding = 1e-12
		return 0 <= i.Low && i.Low <= i.Mean+rounding && i.Mean <= i.High+rounding && i.High <= 1 && i.Low < i.High &&
			math.Abs(i.Low-(1-wrong.High)) < rounding && math.Abs(i.High-(1-wrong.Low)) < rounding &&
			more.High-more.Low < i.High-i.Low
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func samplesFor(t *testing.T, c Config, n int) []tasks.Sample {
	t.Helper()
	s, err := tasks.Mixture(n, c.params(24), tasks.Seeded(1).For(tasks.Evaluation, 0), tasks.TrainingMixture())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func modelFor(t *testing.T, c Config) *layers.Model {
	t.Helper()
	m, err := layers.NewModel(c.Model, c.Seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every sample is counted once, whatever the batch size, and the tasks add up to the whole.
func TestEvaluateCountsEverySample(t *testing.T) {
	c := tiny()
	m, samples := modelFor(t, c), samplesFor(t, c, 64)
	inf, err := m.Infer(1, 24, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]int{} // right, total
	for _, s := range samples {
		logits, err := inf.Run(s.IDs, nil)
		if err != nil {
			t.Fatal(err)
		}
		count := want[s.Task]
		if slices.Max(logits) == logits[s.Label] {
			count[0]++
		}
		count[1]++
		want[s.Task] = count
	}
	for _, batch := range []int{1, 7, len(samples), 100} {
		e, err := EvaluateContext(t.Context(), m, samples, batch)
		if err != nil {
			t.Fatal(err)
		}
		right := 0
		for task, w := range want {
			got := e.PerTask[task]
			if got.Correct != w[0] || got.N != w[1] {
				t.Errorf("batch %d, %s: %d of %d, want %d of %d", batch, task, got.Correct, got.N, w[0], w[1])
			}
			right += w[0]
		}
		if e.Overall.N != len(samples) || e.Overall.Correct != right || len(e.Tasks()) != 4 || !slices.IsSorted(e.Tasks()) {
			t.Errorf("batch %d: overall %+v, tasks %v; want %d of %d, 4 tasks", batch, e.Overall, e.Tasks(), right, len(samples))
		}
	}
}

// A model whose logits are no numbers is not wrong on every sample: it is broken, and that is said.
func TestEvaluateRefuses(t *testing.T) {
	c := tiny()
	m := modelFor(t, c)
	if _, err := EvaluateContext(t.Context(), m, nil, 4); err == nil || err.Error() != "evaluation: no samples" {
		t.Error(err)
	}
	m.Head.Out.B.Data()[2] = float32(math.NaN())
	if _, err := EvaluateContext(t.Context(), m, samplesFor(t, c, 32), 4); err == nil ||
		!strings.HasPrefix(err.Error(), "evaluation: sample 0 (") || !strings.Contains(err.Error(), "NaN") {
		t.Error(err)
	}
}
