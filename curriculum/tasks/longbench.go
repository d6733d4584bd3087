package tasks

import "math/rand/v2"

const longBenchSource = "proxy of LongBench, Bai et al. 2023, arXiv:2308.14508"

// longBench are the strict proxies of LongBench's six categories: each asks for the
// skill that its category is named for, in the training layout; EOS ends a document.
func longBench() []Task {
	return []Task{
		{
			Name:     "longbench/single_doc_qa",
			Doc:      "a document with 8 facts (key, value); the value of the key asked for",
			Source:   longBenchSource,
			Defaults: Params{Needles: 8},
			Need:     factsNeed(2, 3),
			Chance:   perValue(needles),
			Generate: facts(2, 3),
		},
		{
			Name: "longbench/multi_doc_qa",
			Doc: "2 facts (key, bridge) in the first document and 2 (bridge, value) in the second; the value that a key " +
				"leads to",
			Source:   longBenchSource,
			Defaults: Params{Needles: 2},
			Need: func(p Params) Need {
				return Need{Length: 4*p.Needles + 7, Classes: classesForKeys(2 * p.Needles)}
			},
			Chance:   perValue(func(p Params) int { return 2 * p.Needles }),
			Generate: twoHop,
		},
		{
			Name:     "longbench/summarization",
			Doc:      "16 class tokens, 60% of one class, stand for a document's topics; the main one (as fa)",
			Source:   longBenchSource,
			Defaults: Params{Items: 16},
			Need:     frequencyNeed,
			Chance:   mostFrequent(majorShare),
			Generate: frequency,
		},
		{
			Name:     "longbench/few_shot",
			Doc:      "4 inputs with 2 labelled examples (input, label) each; the label of the input asked for",
			Source:   longBenchSource,
			Defaults: Params{Needles: 4, Repeat: 2},
			Need: func(p Params) Need {
				return Need{Length: 2*p.Needles*p.Repeat + 5, Classes: classesForKeys(p.Needles)}
			},
			Chance:   perValue(needles),
			Generate: fewShot,
		},
		{
			Name: "longbench/code_completion",
			Doc: "4 snippets of 3 filler tokens and a class token; one's filler tokens stand again before QUERY: what " +
				"follows them?",
			Source:   longBenchSource,
			Defaults: Params{Needles: 4},
			Need: func(p Params) Need {
				return Need{
					Length: (prefixTokens+1)*p.Needles + prefixTokens + 5,
					Vocab:  int(KeyStart) + p.Classes + p.Needles,
				}
			},
			Chance:   perClass,
			Generate: codeCompletion,
		},
		{
			Name:     "longbench/passage_retrieval",
			Doc:      "8 passages that each hold a different key; the number, from 0, of the passage with the key asked for",
			Source:   longBenchSource,
			Defaults: Params{Passages: 8},
			Need: func(p Params) Need {
				return Need{Length: 2*p.Passages + 4, Classes: p.Passages}
			},
			Chance:   perPassage,
			Generate: passageRetrieval,
		},
	}
}

// twoHop puts p.Needles facts (key, bridge) before the EOS at T/2 and as many
// (bridge, value) after it. Targets are the two facts that the answer needs.
func twoHop(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	n, end := p.Needles, p.Length/2
	nKeys := keyClasses(p.Classes, 2*n)
	names := choose(rng, nKeys, 2*n)
	keys, bridges := names[:n], names[n:]
	values := c.values(n, nKeys)
	first := place(rng, 2, end, n, 2)
	second := place(rng, end+1, p.Length-3, n, 2)
	order := choose(rng, n, n) // the second document tells of the bridges in another order
	for i, pos := range first {
		c.fact(pos, keys[i], bridges[i])
	}
	c.ids[end] = EOS
	asked := rng.IntN(n)
	var hop int
	for i, pos := range second {
		c.fact(pos, bridges[order[i]], nKeys+values[order[i]])
		if order[i] == asked {
			hop = pos
		}
	}
	c.askFor(keys[asked])
	return c.sample(values[asked], first[asked], hop), nil
}

// fewShot writes p.Repeat examples of p.Needles inputs, in random order.
func fewShot(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	nKeys := keyClasses(p.Classes, p.Needles)
	inputs := choose(rng, nKeys, p.Needles)
	labels := c.values(p.Needles, nKeys)
	hands := split(rng, place(rng, 2, p.Length-3, p.Needles*p.Repeat, 2), p.Needles, p.Repeat)
	for i, at := range hands {
		for _, pos := range at {
			c.fact(pos, inputs[i], nKeys+labels[i])
		}
	}
	asked := rng.IntN(p.Needles)
	c.askFor(inputs[asked])
	return c.sample(labels[asked], hands[asked]...), nil
}

// prefixTokens is how many tokens of a snippet are repeated before the question.
const prefixTokens = 3

// codeCompletion hides snippets that differ in their first token, so that no two
// share a prefix. The target is the class token that completes the repeated one.
func codeCompletion(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	firstFiller := int(KeyStart) + p.Classes
	openings := choose(rng, p.Vocab-firstFiller, p.Needles)
	at := place(rng, 2, p.Length-2-prefixTokens-1, p.Needles, prefixTokens+1)
	codes := make([]int, p.Needles)
	for i, pos := range at {
		codes[i] = rng.IntN(p.Classes)
		c.ids[pos] = int32(firstFiller + openings[i])
		c.class(pos+prefixTokens, codes[i])
	}
	asked := rng.IntN(p.Needles)
	from := at[asked]
	copy(c.ids[p.Length-2-prefixTokens:p.Length-2], c.ids[from:from+prefixTokens])
	c.ask()
	return c.sample(codes[asked], from+prefixTokens), nil
}

// passageRetrieval divides [1, T-3) into p.Passages parts, all but the last ended by
// EOS, and hides one key in each.
func passageRetrieval(rng *rand.Rand, p Params) (Sample, error) {
	c := newCanvas(rng, p)
	keys := choose(rng, p.Classes, p.Passages)
	at := make([]int, p.Passages)
	body := p.Length - 4
	for i := range at {
		lo, end := 1+i*body/p.Passages, 1+(i+1)*body/p.Passages-1
		at[i] = lo + rng.IntN(end-lo)
		c.class(at[i], keys[i])
		if i < p.Passages-1 {
			c.ids[end] = EOS
		}
	}
	asked := rng.IntN(p.Passages)
	c.askFor(keys[asked])
	return c.sample(asked, at[asked]), nil
}
