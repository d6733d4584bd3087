package tasks

import "math/rand/v2"

// The published RULER and LongBench proxies have a layout of their own: no BOS, no
// QUERY, class c at token 4+c, filler above the classes, SEP last. A model trained on
// the curriculum meets class tokens shifted by one (and QUERY as class 0), and a
// filler token that it knows as class N-1.
const publishedKeyStart = KeyStart - 1

const publishedNote = "; as published: no BOS, no QUERY, classes from token 4"

// publishedCanvas is filler from 4+N+reserved on, and SEP last.
func publishedCanvas(rng *rand.Rand, p Params, reserved int) canvas {
	c := canvas{rng: rng, p: p, ids: make([]int32, p.Length)}
	first := publishedKeyStart + int32(p.Classes+reserved)
	for i := range c.ids {
		c.ids[i] = first + rng.Int32N(int32(p.Vocab)-first)
	}
	c.ids[p.Length-1] = SEP
	return c
}

func (c canvas) publishedClass(pos, k int) { c.ids[pos] = publishedKeyStart + int32(k) }

// publishedRULER are the four RULER proxies with the reference's own content.
func publishedRULER() []Task {
	return []Task{
		{
			Name:     "paper/ruler/niah_single",
			Doc:      "one class token at any depth; which?" + publishedNote,
			Source:   rulerSource,
			Need:     func(Params) Need { return Need{Length: 11} },
			Chance:   perClass,
			Generate: publishedSingle(10),
		},
		{
			Name:         "paper/ruler/niah_multi_key",
			Doc:          "4 class tokens; one of them" + publishedNote,
			Source:       rulerSource,
			Unanswerable: "nothing in the input says which of the class tokens is asked for",
			Defaults:     Params{Needles: 4},
			Need:         func(p Params) Need { return Need{Length: 2*p.Needles + 6} },
			Chance:       perClass,
			Generate:     publishedMultiKey,
		},
		{
			Name:     "paper/ruler/variable_track",
			Doc:      "one class token, later 3 tokens reserved for variables; the class token" + publishedNote,
			Source:   rulerSource,
			Defaults: Params{Hops: 3},
			Need: func(p Params) Need {
				return Need{Length: p.Hops + 1 + 6, Vocab: int(publishedKeyStart) + p.Classes + p.Hops + 2}
			},
			Chance:   perClass,
			Generate: publishedVariables,
		},
		{
			Name:     "paper/ruler/fa",
			Doc:      "16 class tokens of any class; the most frequent, the lowest of equals" + publishedNote,
			Source:   rulerSource,
			Defaults: Params{Items: 16},
			Need:     frequencyNeed,
			Chance:   mostFrequent(0),
			Generate: publishedFrequency,
		},
	}
}

// publishedSingle hides one class token at a position uniform in [1, T-tail].
func publishedSingle(tail int) Generator {
	return func(rng *rand.Rand, p Params) (Sample, error) {
		c := publishedCanvas(rng, p, 0)
		code := rng.IntN(p.Classes)
		pos := 1 + rng.IntN(p.Length-tail)
		c.publishedClass(pos, code)
		return c.sample(code, pos), nil
	}
}

func publishedMultiKey(rng *rand.Rand, p Params) (Sample, error) {
	c := publishedCanvas(rng, p, 0)
	at := place(rng, 1, p.Length-p.Needles-5, p.Needles, 1)
	codes := make([]int, p.Needles)
	for i, pos := range at {
		codes[i] = rng.IntN(p.Classes)
		c.publishedClass(pos, codes[i])
	}
	asked := rng.IntN(p.Needles)
	return c.sample(codes[asked], at[asked]), nil
}

// publishedVariables reserves p.Hops+1 tokens above the classes for variables; the
// first is never written.
func publishedVariables(rng *rand.Rand, p Params) (Sample, error) {
	c := publishedCanvas(rng, p, p.Hops+1)
	code := rng.IntN(p.Classes)
	at := place(rng, 1, p.Length-5, p.Hops+1, 1)
	c.publishedClass(at[0], code)
	for i, pos := range at[1:] {
		c.publishedClass(pos, p.Classes+1+i)
	}
	return c.sample(code, at[0]), nil
}

func publishedFrequency(rng *rand.Rand, p Params) (Sample, error) {
	c := publishedCanvas(rng, p, 0)
	items := make([]int, p.Items)
	at := place(rng, 1, p.Length-5, p.Items, 1)
	for i, pos := range at {
		items[i] = rng.IntN(p.Classes)
		c.publishedClass(pos, items[i])
	}
	label, _ := mode(items)
	var targets []int
	for i, pos := range at {
		if items[i] == label {
			targets = append(targets, pos)
		}
	}
	return c.sample(label, targets...), nil
}

// publishedLongBench are the six LongBench proxies with the reference's own content.
func publishedLongBench() []Task {
	category := func(name, doc string, length int, g Generator) Task {
		return Task{
			Name: "paper/longbench/" + name, Doc: doc + publishedNote, Source: longBenchSource,
			Need:   func(Params) Need { return Need{Length: length} },
			Chance: perClass, Generate: g,
		}
	}
	const single = "one class token at any depth; which?"
	summary := category("summarization", "filler alone", 0, publishedCopies(func(*rand.Rand, int) []int { return nil }))
	summary.Unanswerable = "the answer is not in the input"
	return []Task{
		category("single_doc_qa", single, 8, publishedSingle(6)),
		category("multi_doc_qa", "the same class token once in each half; which?", 11, publishedCopies(oncePerHalf)),
		summary,
		category("few_shot", "the same class token at positions 0, 10, 20, 30; which?", 32,
			publishedCopies(func(*rand.Rand, int) []int { return []int{0, 10, 20, 30} })),
		category("code_completion", "one class token at T/3; which?", 8,
			publishedCopies(func(_ *rand.Rand, length int) []int { return []int{length / 3} })),
		category("passage_retrieval", single, 8, publishedSingle(6)),
	}
}

// publishedCopies writes one class at all the positions that where returns.
func publishedCopies(where func(rng *rand.Rand, length int) []int) Generator {
	return func(rng *rand.Rand, p Params) (Sample, error) {
		c := publishedCanvas(rng, p, 0)
		code := rng.IntN(p.Classes)
		at := where(rng, p.Length)
		for _, pos := range at {
			c.publishedClass(pos, code)
		}
		return c.sample(code, at...), nil
	}
}

// oncePerHalf draws a position of [1, T/2) and one of [T/2, T-5).
func oncePerHalf(rng *rand.Rand, length int) []int {
	half := length / 2
	return []int{1 + rng.IntN(half-1), half + rng.IntN(length-5-half)}
}
