package tasks

import "math/rand/v2"

const needleBenchSource = "proxy of NeedleBench, Li et al. 2024, arXiv:2407.11963"

// needleBench are the five proxies of the reference's NeedleBench suite.
func needleBench() []Task {
	return []Task{
		{
			Name:     "needlebench/snia",
			Doc:      "single needle: one class token in the middle half; which?",
			Source:   needleBenchSource,
			Chance:   perClass,
			Generate: singleNeedle,
		},
		{
			Name:     "needlebench/mkn",
			Doc:      "multi-key needle: 6 facts (key, value); the value of the key asked for",
			Source:   needleBenchSource,
			Defaults: Params{Needles: 6},
			Need:     factsNeed(2, 3),
			Chance:   perValue(needles),
			Generate: facts(2, 3),
		},
		{
			Name:     "needlebench/ron",
			Doc:      "reasoning over needles: code a in the first half, a+1 mod N in the second; the latter",
			Source:   needleBenchSource,
			Need:     func(Params) Need { return Need{Length: 8} },
			Chance:   perClass,
			Generate: reasoningNeedles,
		},
		{
			Name:     "needlebench/cn",
			Doc:      "counting needles: 1 to 8 copies of one code of 0..31; how many of the code asked for?",
			Source:   needleBenchSource,
			Defaults: Params{MaxCount: 8},
			Need: func(p Params) Need {
				return Need{Length: p.MaxCount + 6, Classes: p.MaxCount + 1}
			},
			Chance:   perCount,
			Generate: countingNeedles,
		},
		{
			Name:     "needlebench/adn",
			Doc:      "anti-distraction needle: 8 facts give the key asked for a wrong value, the last gives the right one",
			Source:   needleBenchSource,
			Defaults: Params{Distractors: 8},
			Need: func(p Params) Need {
				return Need{Length: 2*(p.Distractors+1) + 6, Classes: adnKeys + 2}
			},
			Chance:   func(p Params) float64 { return 1 / float64(p.Classes-adnKeyClasses(p)) },
			Generate: antiDistraction,
		},
	}
}

// singleNeedle hides one class token at a position uniform in [T/4, 3T/4].
func singleNeedle(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	code := rng.IntN(p.Classes)
	lo := p.Length / 4
	hi := min(3*p.Length/4, p.Length-3)
	pos := lo + rng.IntN(hi-lo+1)
	c.class(pos, code)
	c.ask()
	return c.sample(code, pos), nil
}

// reasoningNeedles writes a in [2, T/2) and a+1 mod N in [T/2, T-4]. The reference
// includes T/2 in both ranges, where the second may overwrite the first.
func reasoningNeedles(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	first := rng.IntN(p.Classes)
	second := (first + 1) % p.Classes
	half := p.Length / 2
	a := 2 + rng.IntN(half-2)
	b := half + rng.IntN(p.Length-3-half)
	c.class(a, first)
	c.class(b, second)
	c.ask()
	return c.sample(second, a, b), nil
}

// countedCodes bounds the codes that needlebench/cn counts copies of.
const countedCodes = 32

// countingNeedles labels with the count itself, so class 0 never occurs.
func countingNeedles(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	code := rng.IntN(min(p.Classes, countedCodes))
	n := 1 + rng.IntN(p.MaxCount)
	at := place(rng, 2, p.Length-4, n, 1)
	for _, pos := range at {
		c.class(pos, code)
	}
	c.askFor(code)
	return c.sample(n, at...), nil
}

// adnKeys is the least number of key classes in needlebench/adn.
const adnKeys = 8

func adnKeyClasses(p Params) int { return max(p.Classes/2, adnKeys) }

// antiDistraction draws wrong values from all but the right one; the reference lets a
// "wrong" value be right.
func antiDistraction(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	nKeys := adnKeyClasses(p)
	nValues := p.Classes - nKeys
	key, right := rng.IntN(nKeys), rng.IntN(nValues)
	at := place(rng, 2, p.Length-4, p.Distractors+1, 2)
	last := at[len(at)-1]
	for _, pos := range at[:len(at)-1] {
		wrong := (right + 1 + rng.IntN(nValues-1)) % nValues
		c.fact(pos, key, nKeys+wrong)
	}
	c.fact(last, key, nKeys+right)
	c.askFor(key)
	return c.sample(right, last), nil
}
