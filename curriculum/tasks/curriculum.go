package tasks

import (
	"math/rand/v2"
	"slices"
)

const curriculumSource = "SynapNet-Edge, training curriculum"

// curriculumTasks are the four tasks of the training mixture and the memory-pressure
// task of the eviction experiments.
func curriculumTasks() []Task {
	return []Task{
		{
			Name:     "niah_single",
			Doc:      "one class token at a depth of 5 to 95%; which?",
			Source:   curriculumSource,
			Chance:   perClass,
			Generate: niahSingle,
		},
		{
			Name:     "niah_multi_key",
			Doc:      "4 facts (key, value); the value of the key asked for",
			Source:   curriculumSource,
			Defaults: Params{Needles: 4, Questions: 1},
			Need:     factsNeed(2, 3),
			Chance:   perValue(needles),
			Generate: facts(2, 3),
		},
		{
			Name:     "variable_track",
			Doc:      "one code written at 4 places in turn, as x=code, y=x, z=y, ... with the names left out; which code?",
			Source:   curriculumSource,
			Defaults: Params{Hops: 3},
			Need:     func(p Params) Need { return Need{Length: p.Hops + 1 + 6} },
			Chance:   perClass,
			Generate: variableTrack,
		},
		{
			Name: "fa",
			Doc: "16 class tokens, each with probability 60% of one class and otherwise of any; the most frequent, the " +
				"lowest of equals",
			Source:   curriculumSource,
			Defaults: Params{Items: 16},
			Need:     frequencyNeed,
			Chance:   mostFrequent(majorShare),
			Generate: frequency,
		},
		memoryPressure(),
	}
}

func needles(p Params) int { return p.Needles }

// niahSingle hides one class token at floor(d*T), d uniform in [0.05, 0.95).
func niahSingle(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	code := rng.IntN(p.Classes)
	// The conversion keeps the compiler from fusing the two operations, which on some
	// machines would round differently.
	depth := 0.05 + float64(0.90*rng.Float64())
	pos := max(1, min(p.Length-3, int(depth*float64(p.Length))))
	c.class(pos, code)
	c.ask()
	return c.sample(code, pos), nil
}

// facts hides p.Needles facts with different keys within [lo, T-hiTail) and asks for
// the value of one of them.
func facts(lo, hiTail int) Generator {
	return func(rng *rand.Rand, p Params) (Sample, error) {
		c := newCanvas(rng, p)
		nKeys := keyClasses(p.Classes, p.Needles)
		keys := choose(rng, nKeys, p.Needles)
		values := c.values(p.Needles, nKeys)
		at, asks := factPlaces(rng, lo, p.Length-hiTail, p.Needles, max(1, p.Questions)-1)
		for i, pos := range at {
			c.fact(pos, keys[i], nKeys+values[i])
		}
		var more []Question
		for _, pos := range asks {
			k := rng.IntN(p.Needles)
			c.askAt(pos, keys[k])
			more = append(more, Question{pos + 2, int32(values[k])})
		}
		asked := rng.IntN(p.Needles)
		c.askFor(keys[asked])
		s := c.sample(values[asked], at[asked])
		s.Asked = more
		return s, nil
	}
}

// questionWidth is that of QUERY key SEP, tokens.
const questionWidth = 3

// factPlaces draws the places of facts and of questions within [lo, hi), each list
// ascending; every arrangement that does not overlap is equally likely.
func factPlaces(rng *rand.Rand, lo, hi, facts, questions int) (at, asks []int) {
	if questions == 0 {
		return place(rng, lo, hi, facts, 2), nil
	}
	// Runs of one token each are placed, and then widened in their order.
	n := facts + questions
	starts := choose(rng, hi-lo-facts-questions*(questionWidth-1), n)
	slices.Sort(starts)
	asked := make([]bool, n)
	for _, i := range choose(rng, n, questions) {
		asked[i] = true
	}
	widened := 0
	for i, pos := range starts {
		pos += lo + widened
		if asked[i] {
			asks, widened = append(asks, pos), widened+questionWidth-1
		} else {
			at, widened = append(at, pos), widened+1
		}
	}
	return at, asks
}

// values draws n value indices of [0, N-nKeys).
func (c canvas) values(n, nKeys int) []int {
	values := make([]int, n)
	for i := range values {
		values[i] = c.rng.IntN(c.p.Classes - nKeys)
	}
	return values
}

// factsNeed is the Need of facts: room for p.Needles pairs, and two values at least.
func factsNeed(lo, hiTail int) func(Params) Need {
	return func(p Params) Need {
		return Need{Length: lo + 2*p.Needles + questionWidth*max(0, p.Questions-1) + hiTail,
			Classes: classesForKeys(p.Needles)}
	}
}

// classesForKeys is the least N that leaves two values beside inUse keys.
func classesForKeys(inUse int) int { return inUse + 3 }

// variableTrack writes one code at p.Hops+1 places.
func variableTrack(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	code := rng.IntN(p.Classes)
	at := place(rng, 2, p.Length-4, p.Hops+1, 1)
	for _, pos := range at {
		c.class(pos, code)
	}
	c.ask()
	return c.sample(code, at...), nil
}

// majorShare is the probability that an item of fa is of the major class outright.
const majorShare = 0.6

func frequencyNeed(p Params) Need { return Need{Length: p.Items + 6} }

// frequency writes p.Items class tokens, mostly of one class; Targets are the items of
// the label's class.
func frequency(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	major := rng.IntN(p.Classes)
	items := make([]int, p.Items)
	for i := range items {
		items[i] = major
		if rng.Float64() >= majorShare {
			items[i] = rng.IntN(p.Classes)
		}
	}
	return c.count(items, place(rng, 2, p.Length-4, p.Items, 1)), nil
}

// count writes items at their places and asks for the most frequent.
func (c canvas) count(items, at []int) Sample {
	for i, pos := range at {
		c.class(pos, items[i])
	}
	c.ask()
	label, _ := mode(items)
	var targets []int
	for i, pos := range at {
		if items[i] == label {
			targets = append(targets, pos)
		}
	}
	return c.sample(label, targets...)
}

// mode returns the most frequent item, the lowest of equals, and whether it is the
// only one.
func mode(items []int) (winner int, unique bool) {
	counts := make(map[int]int, len(items))
	for _, k := range items {
		counts[k]++
	}
	winner, most := -1, 0
	for k, n := range counts {
		switch {
		case n > most:
			winner, most, unique = k, n, true
		case n == most:
			winner, unique = min(winner, k), false
		}
	}
	return winner, unique
}
