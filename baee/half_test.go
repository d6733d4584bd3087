package baee

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// An entry of any size comes back within the bound of its form: HOT within 2^-11 of each value or 2^-25, WARM within
// half of a scale that is max|x|/127 or hardly more.
func TestEntriesAreHeldWithinTheBoundOfTheirForm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	for m := 1e-10; m <= 65504; m *= 1.3 {
		x, hot, warm := make([]float32, 24), make([]float32, 24), make([]float32, 24)
		for i := range x {
			x[i] = float32(m * (2*r.Float64() - 1))
		}
		x[0] = float32(m)
		decode(hot, Hot, encodeHot(x))
		decode(warm, Warm, encodeWarm(x))
		scale := m/127*(1+0x1p-11) + 0x1p-24
		for i, v := range x {
			if e := math.Abs(float64(v - hot[i])); e > max(0x1p-11*math.Abs(float64(v)), 0x1p-25) {
				t.Errorf("HOT: %g became %g", v, hot[i])
			}
			if e := math.Abs(float64(v - warm[i])); e > scale/2*(1+1e-6) {
				t.Errorf("WARM, values up to %g: %g became %g", m, v, warm[i])
			}
		}
	}
}

// What half precision does not hold is refused before it is stored.
func TestUpdateRefusesValuesBeyondHalfPrecision(t *testing.T) {
	for _, bad := range []float32{65505, -1e10} {
		m, err := New(Config{Policy: "fifo", Protocol: Strict, Layers: 1, Slots: 2, Dim: 2, BudgetBytes: 64, Window: 1})
		if err != nil {
			t.Fatal(err)
		}
		read := Read{Bank: []float32{1, 65504, bad, 0}, Positions: []int64{0, 1}, Salience: []float32{1, 1}, Queries: 1,
			WindowQueries: 1,
			All:           []float32{1, 0}, Window: []float32{1, 0}, Last: []float32{1, 0}}
		if err := m.Update(0, read); err == nil || !strings.Contains(err.Error(), "half precision, up to 65504") {
			t.Errorf("%g: error %v", bad, err)
		}
		read.Bank[2] = 0
		if err := m.Update(0, read); err != nil {
			t.Errorf("values of half precision: %v", err)
		}
	}
}
