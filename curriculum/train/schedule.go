package train

import "math"

// Schedule is a learning rate by the step of the run, from 0.
type Schedule struct {
	Peak float64 // the rate that it is made from, for messages
	rate func(step int) float64
}

// At is the rate of a step.
func (s Schedule) At(step int) float64 { return s.rate(step) }

// Constant is the same rate at every step.
func Constant(lr float64) Schedule { return Schedule{lr, func(int) float64 { return lr }} }

// Cosine falls from lr at step 0 to 0 at step total.
func Cosine(lr float64, total int) Schedule {
	return Schedule{lr, func(step int) float64 { return cosine(lr, math.Pi*float64(step)/float64(total)) }}
}

// WarmupCosine rises linearly from 0 at step 0 to lr after the warm-up, then falls as a cosine to 0 at step total.
func WarmupCosine(lr float64, warmup, total int) Schedule {
	return Schedule{lr, func(step int) float64 {
		if step < warmup {
			return lr * float64(step) / float64(warmup)
		}
		// Not written as in Cosine: the quotient is rounded first, and rates are kept to the bit.
		progress := float64(step-warmup) / float64(max(1, total-warmup))
		return cosine(lr, math.Pi*progress)
	}}
}

// WarmupStableDecay rises linearly from 0 at step 0 to lr after the warm-up, stays there, and falls linearly to 0 over
// the last `cooldown` steps before step end(), which is asked at every step: a run that may end a stage early learns
// where it ends before it cools down (Hu et al. 2024, MiniCPM).
func WarmupStableDecay(lr float64, warmup, cooldown int, end func() int) Schedule {
	return Schedule{lr, func(step int) float64 {
		if step < warmup {
			return lr * float64(step) / float64(warmup)
		}
		return lr * min(1, float64(end()-step)/float64(cooldown))
	}}
}

// cosine is lr at angle 0 and 0 at π.
func cosine(lr, angle float64) float64 { return lr * 0.5 * (1 + math.Cos(angle)) }

// Warmup rises linearly to lr, which step warmup-1 has and all that follow.
func Warmup(lr float64, warmup int) Schedule {
	return Schedule{lr, func(step int) float64 { return lr * min(1, float64(step+1)/float64(warmup)) }}
}

// Linear falls from lr at step 0 to 0 at step total.
func Linear(lr float64, total int) Schedule {
	return Schedule{lr, func(step int) float64 { return lr * (1 - float64(step)/float64(total)) }}
}

// PerEpoch is s by the epoch in place of the step.
func (s Schedule) PerEpoch(steps int) Schedule {
	return Schedule{s.Peak, func(step int) float64 { return s.rate(step / steps) }}
}

// From is s for a phase: its step 0 is the run's step first.
func (s Schedule) From(first int) Schedule {
	return Schedule{s.Peak, func(step int) float64 { return s.rate(step - first) }}
}

// Times is s with every rate multiplied.
func (s Schedule) Times(factor float64) Schedule {
	return Schedule{s.Peak * factor, func(step int) float64 { return s.rate(step) * factor }}
}

// TimesEach is s with the rate of each step multiplied by a factor of its own.
func (s Schedule) TimesEach(factor func(step int) float64) Schedule {
	return Schedule{s.Peak, func(step int) float64 { return s.rate(step) * factor(step) }}
}

// Then is s up to a step of the run, and next from there on.
func (s Schedule) Then(step int, next Schedule) Schedule {
	return Schedule{next.Peak, func(i int) float64 {
		if i < step {
			return s.rate(i)
		}
		return next.rate(i)
	}}
}
