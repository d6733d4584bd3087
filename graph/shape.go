package graph

import (
	"fmt"
	"slices"
)

// elementTile is the number of elements that one part of an elementwise operation covers: 64 KiB, which stays in the
// first two cache levels between the passes of a fused operation.
const elementTile = 16384

// rowTile is the number of rows that one part of a row-wise reduction covers. Partial sums are made per tile and then
// added in order, so a result depends on this constant and not on the number of threads.
const rowTile = 128

func sameShape(a, b Spec) error {
	if !slices.Equal(a.Shape, b.Shape) || a.Ints != b.Ints {
		return fmt.Errorf("got shapes %v and %v, want equal ones", a.Shape, b.Shape)
	}
	return nil
}

func wantFloats(s Spec) error {
	if s.Ints {
		return fmt.Errorf("got integers %v, want float32", s.Shape)
	}
	return nil
}

func wantShape(what string, s Spec, shape ...int) error {
	if err := wantFloats(s); err != nil {
		return err
	}
	if !slices.Equal(s.Shape, shape) {
		return fmt.Errorf("got %s %v, want %v", what, s.Shape, shape)
	}
	return nil
}

func wantDims(what string, s Spec, dims int, form string) error {
	if err := wantFloats(s); err != nil {
		return err
	}
	if len(s.Shape) != dims {
		return fmt.Errorf("got %s %v, want %s", what, s.Shape, form)
	}
	return nil
}

func lastDim(s Spec) int { return s.Shape[len(s.Shape)-1] }

func rowsOf(s Spec) int { return s.Size() / lastDim(s) }

// withLast is the shape with its last dimension replaced.
func withLast(s Spec, d int) Spec {
	shape := slices.Clone(s.Shape)
	shape[len(shape)-1] = d
	return Spec{Shape: shape}
}

func floatSpec(shape ...int) Spec { return Spec{Shape: shape} }
