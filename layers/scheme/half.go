package scheme

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/x448/float16"
)

// Half-precision numbers (IEEE 754 binary16). Normal ones are within 2^-11 of what was rounded to them; below, they
// are the multiples of 2^-24, and what was rounded is only within 2^-25, however small it is.
const (
	maxHalf         = 65504.0 // the largest
	leastNormalHalf = 0x1p-14 // 6.1e-5
	leastHalf       = 0x1p-24 // 6.0e-8
	leastHeldHalf   = 0x1p-16 // 1.5e-5: from here on rounding moves a number by 2^-9 of itself at most, as bfloat16 does
)

// leastHalfStep is the least 2-bit step that a packed weight has: rounding it to half precision moves it by up to 3 %,
// where the levels are a whole step apart.
const leastHalfStep = 0x1p-20

// HoldsHalf says whether a tensor can be rounded to half precision for what it is worth: none of its values is beyond
// 65504, and the largest is at least 2^-16 (1.5e-5), so that each value is within 2^-9 of the largest or, of all but
// such small tensors, within 2^-11 of itself or of the largest. Values that are half-precision numbers already, such
// as zeros, can always.
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
	return !slices.ContainsFunc(values, func(v float32) bool { return !HoldsHalf([]float32{v}) })
}

// halfLogStep is the logarithm of the step in half precision nearest to exp(logStep), at least leastHalfStep. A step
// beyond half precision stays as it is, and packing refuses it.
func halfLogStep(logStep float32) float32 {
	h := float16.Fromfloat32(stepOf(logStep))
	if h.IsInf(0) || h.IsNaN() {
		return logStep
	}
	return float32(math.Log(float64(max(h.Float32(), leastHalfStep))))
}

// halves are packed half-precision numbers.
type halves []byte

func (h halves) at(i int) float32 {
	return float16.Frombits(binary.LittleEndian.Uint16(h[2*i:])).Float32()
}

func (h halves) set(i int, v float16.Float16) { binary.LittleEndian.PutUint16(h[2*i:], v.Bits()) }

// put rounds v. A value beyond half precision is an error.
func (h halves) put(i int, v float32) error {
	half := float16.Fromfloat32(v)
	if half.IsInf(0) {
		return fmt.Errorf("%g is beyond half precision (65504)", v)
	}
	h.set(i, half)
	return nil
}

// check refuses numbers that are not finite, or, of steps and scales, not allowed.
func (h halves) check(allowed func(float32) bool) error {
	for i := range len(h) / 2 {
		v := h.at(i)
		if v-v != 0 {
			return fmt.Errorf("half-precision number %d is %g, want a finite one", i, v)
		}
		if !allowed(v) {
			return fmt.Errorf("step or scale %g of row %d: it must not be negative, a step not 0", v, i)
		}
	}
	return nil
}
