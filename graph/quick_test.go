package graph

import "math/rand"

// testing/quick wants the generator of math/rand.
type quickRand = rand.Rand

func quickSource() *rand.Rand { return rand.New(rand.NewSource(1)) }
