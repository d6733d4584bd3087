package baee

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"testing/quick"

	"github.com/x448/float16"
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

// Every half-precision number there is decodes to itself, as the library says, not-a-number included.
func TestEveryHalfDecodes(t *testing.T) {
	b := make([]byte, 2<<16)
	for h := range 1 << 16 {
		binary.LittleEndian.PutUint16(b[2*h:], uint16(h))
	}
	got := make([]float32, 1<<16)
	decode(got, Hot, b)
	for h, x := range got {
		if want := fromHalf(b[2*h:]); math.Float32bits(x) != math.Float32bits(want) {
			t.Fatalf("%#04x is %v, want %v", h, x, want)
		}
	}
}

// Numbers that half precision has, those half-way between two, and their neighbours are rounded as the library rounds.
func TestHalvesAreRoundedToTheNearest(t *testing.T) {
	check := func(x float32) {
		want := float16.Fromfloat32(min(max(x, -maxHalf), maxHalf)).Bits()
		if got := toHalf(x); got != want {
			t.Fatalf("%v (%#08x) became %#04x, want %#04x", x, math.Float32bits(x), got, want)
		}
	}
	for h := range uint16(0x7c00) {
		x, next := float16.Frombits(h).Float32(), float16.Frombits(h+1).Float32()
		for _, v := range []float32{x, (x + next) / 2} {
			for _, w := range []float32{v, math.Nextafter32(v, 0), math.Nextafter32(v, 1e9)} {
				check(w)
				check(-w)
			}
		}
	}
	for _, x := range []float32{65504, 65519, 65520, 1e30, float32(math.Inf(1)), math.SmallestNonzeroFloat32} {
		check(x)
		check(-x)
	}
}
