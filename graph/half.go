package graph

import (
	"math"

	"github.com/x448/float16"
)

// Half-precision numbers (IEEE 754 binary16). Normal ones are within 2^-11 of what was rounded to them; below, they are the
// multiples of 2^-24, and what was rounded is only within 2^-25, however small it is.
const (
	maxHalf         = 65504.0 // the largest
	leastNormalHalf = 0x1p-14 // 6.1e-5
	leastHalf       = 0x1p-24 // 6.0e-8
	leastHeldHalf   = 0x1p-16 // 1.5e-5: from here on rounding moves a number by 2^-9 of itself at most, as bfloat16 does
)

// LeastHalfStep is the least 2-bit step that a packed weight has: rounding it to half precision moves it by up to 3 %,
// where the levels are a whole step apart.
const LeastHalfStep = 0x1p-20

// HalfScale is the half-precision scale of symmetric 8-bit codes for values up to largest: the nearest to largest/127, or
// the next above if the code of largest under that one would be beyond 127. It is 0 for 0 alone, and infinite for values
// that no scale can hold. Of a result below the normal numbers (6.1e-5) codes are to be made with it, not with
// largest/127, from which it may be far.
func HalfScale(largest float32) float16.Float16 {
	h := float16.Fromfloat32(largest / int8Levels)
	if h.IsFinite() && h.Float32()*(int8Levels+0.5) < largest {
		h++
	}
	return h
}

// HoldsHalf says whether a tensor can be rounded to half precision for what it is worth: none of its values is beyond
// 65504, and the largest is at least 2^-16 (1.5e-5), so that each value is within 2^-9 of the largest or, of all but such
// small tensors, within 2^-11 of itself or of the largest. Values that are half-precision numbers already, such as zeros, can always.
func HoldsHalf(values []float32) bool {
	small, exact := true, true
	for _, v := range values {
		h := float16.Fromfloat32(v)
		if h.IsInf(0) || h.IsNaN() {
			return false
		}
		small = small && v < leastHeldHalf && -v < leastHeldHalf
		exact = exact && h.Float32() == v
	}
	return exact || !small
}

// HoldsEachHalf is HoldsHalf of every value alone: of factors, each of which matters whatever the others are.
func HoldsEachHalf(values []float32) bool {
	for i := range values {
		if !HoldsHalf(values[i : i+1]) {
			return false
		}
	}
	return true
}

// HalfLogStep is the logarithm of the step in half precision nearest to exp(logStep), at least LeastHalfStep. A step beyond
// half precision stays as it is, and PackSEQ2 refuses it.
func HalfLogStep(logStep float32) float32 {
	h := float16.Fromfloat32(stepOf(logStep))
	if h.IsInf(0) || h.IsNaN() {
		return logStep
	}
	return float32(math.Log(float64(max(h.Float32(), LeastHalfStep))))
}

// largestOf is the greatest magnitude.
func largestOf(w []float32) float32 {
	var largest float32
	for _, v := range w {
		largest = max(largest, v, -v)
	}
	return largest
}
