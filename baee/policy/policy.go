// Package policy holds the rules by which a full episodic memory chooses what it keeps: BAEE's and every rival's, one
// small file each. A rule is a Func; Register makes it known by name, and the example of Register is one in a few
// lines.
//
// Most methods were published for the key-value cache of a language model, one key per token and head. Here they rank
// the slots of an episodic memory, written by a few tokens of each chunk and read by one head. Two forms of each exist:
//
//   - Keep is the method's own published algorithm, fed with the attention that entries really received (protocol
//     strict);
//   - Paper is the scoring rule that the reference implementation uses under the method's name (SPEC section 6,
//     protocol paper; golden eviction-policies.json).
package policy

import "math/rand/v2"

// Entry is what a policy may know of one entry of a layer's memory. Its content is not here: policies that look at keys
// or at learned scores find them in the Context, in the order of the entries.
type Entry struct {
	ID       uint64  // unique in a stream, ascending in the order of writing
	Position int64   // of its token in the stream; -1: zero padding, in the paper protocol only
	Salience float32 // σ of its token when it was written, (0, 1)
	Slot     int     // its place in the bank of its chunk: 0 is the most salient token
	Age      int     // chunks since the one that wrote it, which is 0

	Reads     int     // reads that it was part of, the one of its own chunk included
	Uses      int     // of these, those in which it received at least an even share of the attention
	LastUse   int64   // number of the chunk of its last use, at first of the one that wrote it
	Pivotal   uint64  // bit i: it was used in the read i reads ago (bit 0: the last one)
	Attention float64 // attention received so far, summed over the queries of all reads
	Window    float32 // mean attention received from the observation window of the last read
	Last      float32 // attention received from the last query of the last read
}

// Context is what else a policy may know at one decision, which is on one layer after one chunk. It and what a built-in
// policy returns are valid until the next decision with the same Context.
type Context struct {
	Layer, Layers int
	Chunk         int64      // number of the chunk, from 0
	Dim           int        // width D of an entry
	WindowStart   int64      // position in the stream of the first token of the observation window
	Rand          *rand.Rand // seeded; part of snapshots

	// Retention gives the trained classifier's score of each entry, in (0, 1). Needs.Retention.
	Retention func() []float32
	// Head gives the trained Locret-style head's score of each entry. Needs.Head.
	Head func() []float32

	// Keys and Values are the entries' projections [N, D] in the last read. Needs.Projections.
	Keys, Values []float32
	// QueryMean [D] and QueryCov [D, D] describe all queries of the stream so far. Needs.Projections.
	QueryMean, QueryCov []float32

	work   workspace
	scores []float64
}

// Func chooses which of the entries to keep: the indices of at most budget different ones, budget ≥ 1. It is called
// only when there are more entries than that. In the paper protocol the order of the result becomes the order of the
// entries; otherwise entries stay in the order in which they were written.
type Func func(ctx *Context, entries []Entry, budget int) []int

// Scorer gives each entry a score that says how likely it is to be wanted again. In a memory with tiers, the lowest
// ones go first, where there is no room for all (SPEC section 5): scores matter by their order alone.
type Scorer func(ctx *Context, entries []Entry) []float64

// Share divides total units of budget (entries or bytes) among the layers, at least `least` to each; the sum is total.
// It is called only if total is at least layers × least.
type Share func(layers, total, least int) []int

// Needs says what a policy reads of its Context beside the entries, since not all of it is free.
type Needs struct {
	Projections bool // Keys, Values, QueryMean, QueryCov
	Retention   bool // a trained retention classifier
	Head        bool // a trained Locret-style head
}

// Policy is an entry of the registry.
type Policy struct {
	Name   string // unique; lower-case letters, digits and _
	Doc    string // what it keeps, in a line
	Source string // the paper

	Keep  Func   // the strict form
	Paper Func   // the reference's scoring rule; nil: the reference has no such policy
	Score Scorer // nil: all entries of the policy are stored as half-precision floats
	Share Share  // nil: equal parts
	Needs Needs  // of Keep and Score
}

// EqualShare gives every layer the same, and what does not divide to the lowest layers.
func EqualShare(layers, total, _ int) []int {
	parts := make([]int, layers)
	for i := range parts {
		parts[i] = total / layers
		if i < total%layers {
			parts[i]++
		}
	}
	return parts
}
