package vec

import "math"

// reduceBlock is the number of elements a float32 reduction accumulates before
// it is folded into a float64, which bounds the rounding error for long input.
const reduceBlock = 4096

// Sum returns Σ x.
func Sum(x []float32) float32 {
	return float32(sum64(x))
}

func sum64(x []float32) float64 {
	var s float64
	for len(x) > reduceBlock {
		s += float64(sumKernel(x[:reduceBlock]))
		x = x[reduceBlock:]
	}
	return s + float64(sumKernel(x))
}

// Dot returns Σ a·b.
func Dot(a, b []float32) float32 {
	sameLen2("Dot", a, b)
	var s float64
	for len(a) > reduceBlock {
		s += float64(dotKernel(a[:reduceBlock], b[:reduceBlock]))
		a, b = a[reduceBlock:], b[reduceBlock:]
	}
	return float32(s + float64(dotKernel(a, b)))
}

// SumSq returns Σ x², accumulated in float64 so that the norm of a vector of
// millions of elements keeps full float32 accuracy.
func SumSq(x []float32) float64 {
	return sumSqKernel(x)
}

// Max returns the largest element, ignoring NaN; -Inf if there is none.
func Max(x []float32) float32 {
	if len(x) == 0 {
		return float32(math.Inf(-1))
	}
	return maxKernel(x)
}

// infBits is the bit pattern of +Inf: the patterns of |x| order like the values,
// with those of NaN above it.
const infBits = 0x7f800000

// HasNonFinite reports whether x holds a NaN or an infinity.
func HasNonFinite(x []float32) bool {
	return maxAbsBitsKernel(x) >= infBits
}
