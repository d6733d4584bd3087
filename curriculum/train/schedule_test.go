package train

import (
	"math"
	"testing"
)

func TestSchedules(t *testing.T) {
	for name, x := range map[string]struct {
		s    Schedule
		want map[int]float64
	}{
		"constant":              {Constant(2), map[int]float64{0: 2, 1000: 2}},
		"cosine":                {Cosine(2, 8), map[int]float64{0: 2, 2: 1 + math.Sqrt2/2, 4: 1, 8: 0}},
		"warm-up and cosine":    {WarmupCosine(2, 4, 12), map[int]float64{0: 0, 1: 0.5, 3: 1.5, 4: 2, 8: 1, 12: 0}},
		"no warm-up":            {WarmupCosine(2, 0, 8), map[int]float64{0: 2, 4: 1, 8: 0}},
		"warm-up of all steps":  {WarmupCosine(2, 4, 4), map[int]float64{3: 1.5}},
		"warm-up and constant":  {Warmup(2, 4), map[int]float64{0: 0.5, 3: 2, 4: 2, 1000: 2}},
		"linear":                {Linear(2, 4), map[int]float64{0: 2, 1: 1.5, 3: 0.5, 4: 0}},
		"cosine by the epoch":   {Cosine(2, 4).PerEpoch(3), map[int]float64{0: 2, 2: 2, 6: 1, 8: 1, 12: 0}},
		"of a phase":            {Linear(2, 4).From(10), map[int]float64{10: 2, 13: 0.5}},
		"of a phase, by epochs": {Cosine(2, 4).PerEpoch(3).From(30), map[int]float64{30: 2, 32: 2, 36: 1}},
		"warm-up, stable, decay": {WarmupStableDecay(2, 4, 4, func() int { return 20 }),
			map[int]float64{0: 0, 2: 1, 4: 2, 16: 2, 18: 1, 20: 0}},
		"a tenth": {Linear(2, 4).Times(0.1), map[int]float64{0: 0.2, 2: 0.1}},
	} {
		for step, want := range x.want {
			if got := x.s.At(step); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: step %d has the rate %v, want %v", name, step, got, want)
			}
		}
	}
	if peak := Cosine(2, 4).PerEpoch(3).From(30).Times(0.1).Peak; math.Abs(peak-0.2) > 1e-12 {
		t.Errorf("the peak is %v, want 0.2", peak)
	}
}

// Where a run ends is asked at every step: a stage that ended early brings the cooldown forward.
func TestStableDecayFollowsTheEnd(t *testing.T) {
	end := 100
	s := WarmupStableDecay(1, 0, 10, func() int { return end })
	if got := s.At(45); got != 1 {
		t.Errorf("step 45 of 100 has the rate %v, want the peak", got)
	}
	end = 50
	if got := s.At(45); got != 0.5 {
		t.Errorf("step 45 of 50 has the rate %v, want 0.5", got)
	}
}
