package baee

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/quick"
)

func TestFormatsTakeExactlyTheirBytes(t *testing.T) {
	for _, d := range []int{1, 3, 192} {
		x := normal(1, d)
		if hot, warm := len(encodeHot(x)), len(encodeWarm(x)); hot != 2*d || warm != d+2 {
			t.Errorf("width %d: %d and %d bytes, want %d and %d", d, hot, warm, 2*d, d+2)
		}
	}
}

// What is decoded is near what was stored: within half a unit of half precision, or half a step of the scale.
func TestDecodedContentsAreNear(t *testing.T) {
	check := func(seed uint64, exponent int8) bool {
		r := rand.New(rand.NewPCG(seed, 1))
		x, hot, warm := make([]float32, 33), make([]float32, 33), make([]float32, 33)
		largest := 0.0
		for i := range x {
			x[i] = float32(r.NormFloat64() * math.Pow(2, float64(exponent%10)))
			largest = max(largest, math.Abs(float64(x[i])))
		}
		decode(hot, Hot, encodeHot(x))
		decode(warm, Warm, encodeWarm(x))
		for i := range x {
			if e := math.Abs(float64(hot[i] - x[i])); e > max(math.Abs(float64(x[i]))*0x1p-11, 0x1p-25) {
				t.Logf("half: %v for %v", hot[i], x[i])
				return false
			}
			// Half a step, a little more where the scale was rounded down and the largest value is cut off.
			if e := math.Abs(float64(warm[i] - x[i])); e > largest/127*0.5*1.2+largest*0x1p-11 {
				t.Logf("int8: %v for %v of at most %v", warm[i], x[i], largest)
				return false
			}
		}
		return true
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 300}); err != nil {
		t.Error(err)
	}
}

// Storing what was decoded changes nothing more, so a restored memory is the saved one.
func TestHotIsIdempotent(t *testing.T) {
	x, y := normal(1, 50), make([]float32, 50)
	decode(y, Hot, encodeHot(x))
	z := make([]float32, 50)
	decode(z, Hot, encodeHot(y))
	for i := range y {
		if y[i] != z[i] {
			t.Fatalf("%v became %v", y[i], z[i])
		}
	}
}

func TestExtremeContents(t *testing.T) {
	x := []float32{1e9, -1e9, 1e-9, 0}
	y := make([]float32, 4)
	decode(y, Hot, encodeHot(x))
	if y[0] != 65504 || y[1] != -65504 || y[2] != 0 || y[3] != 0 {
		t.Errorf("half precision: %v", y)
	}
	decode(y, Warm, encodeWarm(make([]float32, 4)))
	for _, v := range y {
		if v != 0 {
			t.Errorf("zeros became %v", y)
		}
	}
	decode(y, Warm, encodeWarm([]float32{1e9, -1e9, 0, 5e8}))
	for _, v := range y {
		if v-v != 0 {
			t.Errorf("large values became %v", y)
		}
	}
}
