package vec

import "fmt"

func sameLen2(fn string, a, b []float32) {
	if len(a) != len(b) {
		lengthMismatch(fn, len(a), len(b))
	}
}

func sameLen3(fn string, a, b, c []float32) {
	if len(a) != len(b) || len(a) != len(c) {
		lengthMismatch(fn, len(a), len(b), len(c))
	}
}

// lengthMismatch is kept out of line so that the checks above are inlined.
//
//go:noinline
func lengthMismatch(fn string, n ...int) {
	panic(fmt.Sprintf("vec.%s: slices must have equal lengths, got %v", fn, n))
}
