package tasks

import "math/rand/v2"

// Special token ids (SPEC section 2, Layout). Class c is token KeyStart+c, filler lies above
// the classes.
const (
	PAD      int32 = 0
	BOS      int32 = 1
	EOS      int32 = 2
	SEP      int32 = 3
	QUERY    int32 = 4
	KeyStart int32 = 5
)

// Sample is one classification example.
type Sample struct {
	// IDs are the input tokens, [T] with T = Params.Length, each in [0, Vocab).
	IDs []int32
	// Label is the class to predict from the last token, in [0, Classes).
	Label int32
	// Asked are further questions before the last one, in the order of their places: a
	// model that is read at several places learns from each. Answers are the last one's.
	Asked []Question
	// Task is the name of the task that made the sample.
	Task string
	// Targets are the ascending positions in IDs of the needle tokens that carry
	// the answer; for a fact, the position of its KEY. The retention experiments
	// count a needle as kept if an entry written at one of them survives. Empty
	// only where the published layout hides no answer.
	Targets []int
}

// Question is a place in a sample that a class is to be predicted from.
type Question struct {
	At    int   // the token, as a rule a SEP
	Label int32 // in [0, Classes)
}

// canvas is a sample under construction: filler with BOS first and SEP last.
type canvas struct {
	rng *rand.Rand
	p   Params
	ids []int32
}

func newCanvas(rng *rand.Rand, p Params) canvas {
	c := canvas{rng: rng, p: p, ids: make([]int32, p.Length)}
	for i := range c.ids {
		c.ids[i] = c.filler()
	}
	c.ids[0] = BOS
	c.ids[len(c.ids)-1] = SEP
	return c
}

// filler draws one token of [KeyStart+Classes, Vocab).
func (c canvas) filler() int32 {
	first := KeyStart + int32(c.p.Classes)
	return first + c.rng.Int32N(int32(c.p.Vocab)-first)
}

// class writes the token of class k at pos.
func (c canvas) class(pos, k int) { c.ids[pos] = KeyStart + int32(k) }

// fact writes two class tokens, key then value, from pos on.
func (c canvas) fact(pos, key, value int) {
	c.class(pos, key)
	c.class(pos+1, value)
}

// ask ends the sample with QUERY SEP.
func (c canvas) ask() { c.ids[len(c.ids)-2] = QUERY }

// askFor ends the sample with QUERY key SEP.
func (c canvas) askFor(key int) { c.askAt(len(c.ids)-3, key) }

// askAt writes QUERY key SEP from pos on.
func (c canvas) askAt(pos, key int) {
	c.ids[pos] = QUERY
	c.class(pos+1, key)
	c.ids[pos+2] = SEP
}

func (c canvas) sample(label int, targets ...int) Sample {
	return Sample{IDs: c.ids, Label: int32(label), Targets: targets}
}

// keyClasses is how many of the classes are keys when inUse keys occur in one
// sample: max(N/2, inUse+1) (SPEC section 2, Layout). The rest are values.
func keyClasses(classes, inUse int) int { return max(classes/2, inUse+1) }
