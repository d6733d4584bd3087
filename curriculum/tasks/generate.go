package tasks

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/synapnet/synapnet-train/internal/bounds"
)

// Generate makes n samples of the named task. The same (name, p, from) always gives
// the same samples, and a larger n only adds to their end. Errors: an
// *UnknownTaskError, a *ParamError, n < 1, a source without a purpose, or what a
// registered generator reports.
func Generate(name string, n int, p Params, from Source) ([]Sample, error) {
	if err := from.check(); err != nil {
		return nil, err
	}
	t, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, fmt.Errorf("task %s: %d samples asked for: use at least 1", name, n)
	}
	p = p.withDefaults(t.Defaults)
	if err := t.check(p); err != nil {
		return nil, err
	}
	if err := checkRoom(n, p); err != nil {
		return nil, err
	}
	rng := from.stream("task", name)
	samples := make([]Sample, n)
	for i := range samples {
		if samples[i], err = t.sample(rng, p); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

// Check reports whether the named task can be generated with p: nil, an
// *UnknownTaskError or a *ParamError. It makes no samples.
func Check(name string, p Params) error {
	t, err := Lookup(name)
	if err != nil {
		return err
	}
	return t.check(p.withDefaults(t.Defaults))
}

// Settings are the keys of the settings that parameters of a task are from; "" of what no setting gives.
type Settings struct{ Task, Length, Vocab, Classes, Needles string }

// Check is that of a task with errors that name the settings: a *bounds.Error, where there is one.
func (s Settings) Check(name string, p Params) error {
	err := Check(name, p)
	if _, ok := errors.AsType[*UnknownTaskError](err); ok && s.Task != "" {
		return bounds.Known(s.Task, Names(), name)
	}
	if p, ok := errors.AsType[*ParamError](err); ok {
		keys := map[string]string{"length": s.Length, "vocab": s.Vocab, "classes": s.Classes, "needles": s.Needles}
		if key := keys[p.Param]; key != "" {
			return bounds.Wrong(key, p.Value, "%v", err)
		}
	}
	return err
}

// Chance returns the named task's accuracy without reading the input, in [0, 1].
// Its errors are those of [Check].
func Chance(name string, p Params) (float64, error) {
	t, err := Lookup(name)
	if err != nil {
		return 0, err
	}
	p = p.withDefaults(t.Defaults)
	if err := t.check(p); err != nil {
		return 0, err
	}
	return t.Chance(p), nil
}

// sample makes one sample and checks that a model could take it.
func (t Task) sample(rng *rand.Rand, p Params) (Sample, error) {
	s, err := t.Generate(rng, p)
	if err != nil {
		return Sample{}, fmt.Errorf("task %s: %w", t.Name, err)
	}
	s.Task = t.Name
	if len(s.IDs) != p.Length {
		return Sample{}, fmt.Errorf("task %s: its generator made %d tokens, length is %d", t.Name, len(s.IDs), p.Length)
	}
	if s.Label < 0 || int(s.Label) >= p.Classes {
		return Sample{}, fmt.Errorf("task %s: its generator made label %d, labels lie in [0, %d)", t.Name, s.Label, p.Classes)
	}
	for i, id := range s.IDs {
		if id < 0 || int(id) >= p.Vocab {
			return Sample{}, fmt.Errorf("task %s: its generator made id %d at position %d, ids lie in [0, %d)", t.Name, id, i,
				p.Vocab)
		}
	}
	for _, q := range s.Asked {
		if q.At < 0 || q.At >= p.Length || q.Label < 0 || int(q.Label) >= p.Classes {
			return Sample{}, fmt.Errorf("task %s: its generator made question %+v, length is %d and labels lie in [0, %d)",
				t.Name, q, p.Length, p.Classes)
		}
	}
	for _, pos := range s.Targets {
		if pos < 0 || pos >= p.Length {
			return Sample{}, fmt.Errorf("task %s: its generator made target position %d, length is %d", t.Name, pos, p.Length)
		}
	}
	return s, nil
}

// Weight is a task's share of a mixture, with what it has in place of the task's own.
type Weight struct {
	Task      string  `json:"task" toml:"task"`
	Share     float64 `json:"share" toml:"share"`
	Needles   int     `json:"needles,omitempty" toml:"needles"`     // 0: the task's own
	Questions int     `json:"questions,omitempty" toml:"questions"` // 0: the task's own
}

// Params are p with what the weight has in place of it.
func (w Weight) Params(p Params) Params {
	p.Needles, p.Questions = cmp.Or(w.Needles, p.Needles), cmp.Or(w.Questions, p.Questions)
	return p
}

// Check refuses what the task does not read.
func (w Weight) Check() error {
	t, err := Lookup(w.Task)
	switch {
	case err != nil:
		return err
	case w.Needles > 0 && t.Defaults.Needles == 0:
		return bounds.Wrong("mixture.needles", w.Needles, "task %s has none: leave it out", w.Task)
	case w.Questions > 0 && t.Defaults.Questions == 0:
		return bounds.Wrong("mixture.questions", w.Questions, "task %s asks one: leave it out", w.Task)
	}
	return nil
}

// Questions is the number of places that samples of a mixture are asked at; 0: their last token alone.
func Questions(mixture []Weight) int {
	most := 0
	for _, w := range mixture {
		most = max(most, w.Questions)
	}
	if most == 1 {
		return 0
	}
	return most
}

// String is the task with its share, as a flag gives it: niah_single=0.4.
func (w Weight) String() string { return fmt.Sprintf("%s=%v", w.Task, w.Share) }

// TrainingMixture returns the shares of the reference recipe (SPEC section 2, Mixture).
func TrainingMixture() []Weight {
	return []Weight{
		{Task: "niah_single", Share: 0.40}, {Task: "niah_multi_key", Share: 0.30}, {Task: "variable_track", Share: 0.15},
		{Task: "fa", Share: 0.15},
	}
}

// leastPerTask is how many samples a task of a mixture has at least.
const leastPerTask = 8

// Counts returns how many samples of each task a mixture of n holds:
// max(8, floor(n*share)). Their sum is as a rule not n: 96 gives 94, 32 gives 37.
// Shares need not add up to 1. Errors: n < 1, no weights, a share that is not
// finite and positive or above 1, a task named twice.
func Counts(n int, weights []Weight) ([]int, error) {
	if n < 1 || n > math.MaxInt32 {
		return nil, fmt.Errorf("mixture: %d samples asked for: use 1 to %d", n, math.MaxInt32)
	}
	if len(weights) == 0 {
		return nil, fmt.Errorf("mixture: no tasks: name at least one with its share")
	}
	counts := make([]int, len(weights))
	seen := make(map[string]bool, len(weights))
	for i, w := range weights {
		if !(w.Share > 0 && w.Share <= 1) {
			return nil, fmt.Errorf("mixture: task %s has share %v: use a share above 0 and at most 1", w.Task, w.Share)
		}
		if seen[w.Task] {
			return nil, fmt.Errorf("mixture: task %s is named twice: add up its shares", w.Task)
		}
		seen[w.Task] = true
		counts[i] = max(leastPerTask, int(math.Floor(float64(n)*w.Share)))
	}
	return counts, nil
}

// Mixture makes the samples of [Counts], each task's as [Generate] with the same
// source makes them, shuffled by a stream of the source alone. Nil weights mean
// [TrainingMixture]. Its errors are those of Counts and Generate.
func Mixture(n int, p Params, from Source, weights []Weight) ([]Sample, error) {
	if weights == nil {
		weights = TrainingMixture()
	}
	counts, err := Counts(n, weights)
	if err != nil {
		return nil, err
	}
	for _, w := range weights {
		if err := Check(w.Task, w.Params(p)); err != nil {
			return nil, err
		}
	}
	total := 0
	for _, k := range counts {
		total += k
	}
	if err := checkRoom(total, p); err != nil {
		return nil, err
	}
	all := make([]Sample, 0, total)
	for i, w := range weights {
		part, err := Generate(w.Task, counts[i], w.Params(p), from)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	from.stream("mixture", "shuffle").Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all, nil
}
