package tasks

import "math/rand/v2"

const rulerSource = "proxy of RULER, Hsieh et al. 2024, arXiv:2404.06654"

// ruler are the strict RULER proxies: training layout, answerable.
func ruler() []Task {
	return []Task{
		{
			Name:     "ruler/niah_single",
			Doc:      "one class token at any depth; which?",
			Source:   rulerSource,
			Need:     func(Params) Need { return Need{Length: 11} },
			Chance:   perClass,
			Generate: singleAnywhere,
		},
		{
			Name:     "ruler/niah_multi_key",
			Doc:      "4 facts (key, value) at any depth; the value of the key asked for",
			Source:   rulerSource,
			Defaults: Params{Needles: 4},
			Need:     factsNeed(1, 3),
			Chance:   perValue(needles),
			Generate: facts(1, 3),
		},
		{
			Name:     "ruler/variable_track",
			Doc:      "2 interleaved chains x=value, y=x, z=y, w=z as facts (name, source); the value of the last name of one",
			Source:   rulerSource,
			Defaults: Params{Needles: 2, Hops: 3},
			Need: func(p Params) Need {
				names := chainNames(p)
				return Need{Length: 2*names + 5, Classes: classesForKeys(names)}
			},
			Chance:   perValue(chainNames),
			Generate: variableChains,
		},
		{
			Name:     "ruler/fa",
			Doc:      "16 class tokens drawn from 8 classes; the most frequent, which is the only one",
			Source:   rulerSource,
			Defaults: Params{Items: 16},
			Need:     frequencyNeed,
			Chance:   perClass,
			Generate: uniqueFrequency,
		},
	}
}

// singleAnywhere hides one class token at a position uniform in [1, T-10].
func singleAnywhere(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	code := rng.IntN(p.Classes)
	pos := 1 + rng.IntN(p.Length-10)
	c.class(pos, code)
	c.ask()
	return c.sample(code, pos), nil
}

// chainNames is the number of names in all chains of a sample.
func chainNames(p Params) int { return p.Needles * (p.Hops + 1) }

// variableChains writes p.Needles chains of p.Hops+1 assignments. Assignments of
// different chains interleave at random, those of one chain stand in order, and the
// question names the last name of one chain, so that only following it back through
// every assignment leads to the value. Targets are that chain's assignments.
func variableChains(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	links := p.Hops + 1
	nKeys := keyClasses(p.Classes, chainNames(p))
	names := choose(rng, nKeys, chainNames(p))
	values := c.values(p.Needles, nKeys)
	hands := split(rng, place(rng, 2, p.Length-3, chainNames(p), 2), p.Needles, links)
	for chain, at := range hands {
		source := nKeys + values[chain]
		for i, pos := range at {
			name := names[chain*links+i]
			c.fact(pos, name, source)
			source = name
		}
	}
	asked := rng.IntN(p.Needles)
	c.askFor(names[asked*links+links-1])
	return c.sample(values[asked], hands[asked]...), nil
}

// countedKeys is how many classes compete in ruler/fa.
const countedKeys = 8

// uniqueFrequency draws items from min(N, 8) classes uniformly, anew until one class
// is the most frequent alone: no answer hangs on a rule for ties.
func uniqueFrequency(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	classes := choose(rng, p.Classes, min(p.Classes, countedKeys))
	items := make([]int, p.Items)
	for unique := false; !unique; {
		for i := range items {
			items[i] = classes[rng.IntN(len(classes))]
		}
		_, unique = mode(items)
	}
	return c.count(items, place(rng, 2, p.Length-4, p.Items, 1)), nil
}
