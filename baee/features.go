package baee

import "github.com/synapnet/synapnet-train/baee/policy"

// agePace is the age in chunks at which the age feature is one half.
const agePace = 8

// History writes the four features of an entry that follow its content, each in [0, 1]: the salience of its token, its
// slot over the slots of a bank, age/(age + 8), and its use count over the reads that it was part of and one more. They
// do not depend on the other entries of the store, so that a classifier trained on one budget fits another.
func History(dst []float32, e *policy.Entry, slots int) {
	dst[0] = e.Salience
	dst[1] = float32(e.Slot) / float32(slots)
	dst[2] = float32(e.Age) / float32(e.Age+agePace)
	dst[3] = float32(e.Uses) / float32(e.Reads+1)
}
