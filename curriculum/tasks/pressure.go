package tasks

import (
	"math/rand/v2"
	"sort"
)

// memoryPressure hides more facts than a small memory has slots: the target's fact
// is written 3 times, 15 distractors once each, so that a policy must choose.
func memoryPressure() Task {
	return Task{
		Name: "memory_pressure_niah",
		Doc: "16 facts (key, value), the target's written 3 times, early, late or anywhere; the value of the " +
			"target's key",
		Source:   "SynapNet-Edge, memory-pressure experiments",
		Defaults: Params{Needles: 16, Repeat: 3, Position: Anywhere},
		Need: func(p Params) Need {
			return Need{Length: pressureLength(p), Classes: classesForKeys(p.Needles)}
		},
		Chance:   perValue(needles),
		Generate: pressureNIAH,
	}
}

// pressureRegions returns the ranges [lo, hi) that the target's and the distractors'
// facts lie in, both tokens included. The reference lets a distractor overwrite a
// target's value; facts of separate regions, and of one arrangement, cannot.
func pressureRegions(p Params) (targetLo, targetHi, otherLo, otherHi int) {
	end := p.Length - 4
	switch p.Position {
	case Early:
		cut := max(4, int(0.4*float64(p.Length)))
		return 2, cut, cut, end
	case Late:
		cut := int(0.6 * float64(p.Length))
		return cut, end, 2, cut
	default:
		return 2, end, 2, end
	}
}

func pressureFits(p Params) bool {
	tLo, tHi, oLo, oHi := pressureRegions(p)
	if p.Position == Anywhere {
		return fits(tLo, tHi, p.Repeat+p.Needles-1, 2)
	}
	return fits(tLo, tHi, p.Repeat, 2) && fits(oLo, oHi, p.Needles-1, 2)
}

// pressureLength is the least length that holds p's facts in their regions.
func pressureLength(p Params) int {
	return sort.Search(8*MaxLength, func(length int) bool {
		p.Length = length
		return pressureFits(p)
	})
}

func pressureNIAH(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	nKeys := keyClasses(p.Classes, p.Needles)
	keys := choose(rng, nKeys, p.Needles) // the first is the target's: their order is random
	values := c.values(p.Needles, nKeys)
	target, others := pressurePlaces(rng, p)
	for _, pos := range target {
		c.fact(pos, keys[0], nKeys+values[0])
	}
	for i, pos := range others {
		c.fact(pos, keys[i+1], nKeys+values[i+1])
	}
	c.askFor(keys[0])
	return c.sample(values[0], target...), nil
}

// pressurePlaces draws the starts of the target's p.Repeat facts, ascending, and of
// the p.Needles-1 distractors'.
func pressurePlaces(rng *rand.Rand, p Params) (target, others []int) {
	tLo, tHi, oLo, oHi := pressureRegions(p)
	if p.Position != Anywhere {
		return place(rng, tLo, tHi, p.Repeat, 2), place(rng, oLo, oHi, p.Needles-1, 2)
	}
	all := place(rng, tLo, tHi, p.Repeat+p.Needles-1, 2)
	isTarget := make([]bool, len(all))
	for _, i := range choose(rng, len(all), p.Repeat) {
		isTarget[i] = true
	}
	for i, pos := range all {
		if isTarget[i] {
			target = append(target, pos)
		} else {
			others = append(others, pos)
		}
	}
	return target, others
}
