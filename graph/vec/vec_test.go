package vec

import (
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"
	"testing/quick"
)

var edgeValues = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0.5, -0.5, 1e-30, -1e-30,
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-127, -0x1p-127, 0x1p-126,
	3.9, -3.9, 13.9, -13.9, 14.1, -14.1, 17, -17, 87.3, -87.3, -87.33654, -87.4, 88.7, 88.72283, 88.73, 89, -89, 103, -103,
	105, -105,
	1e4, -1e4, 1e19, -1e19, 1e38, -1e38, math.MaxFloat32, -math.MaxFloat32,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.Float32frombits(0x7fc12345),
	math.Float32frombits(0xffffffff),
}

func normal(r *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * scale)
	}
	return x
}

func (c kernelCase) inputs(r *rand.Rand, n int, scale float64) [][]float32 {
	v := make([][]float32, c.args)
	for k := range v {
		v[k] = normal(r, n, scale)
	}
	c.repair(v)
	return v
}

func (c kernelCase) repair(v [][]float32) {
	for _, k := range c.nonNegative {
		for i, x := range v[k] {
			v[k][i] = abs32(x)
		}
	}
}

func clone(v [][]float32) [][]float32 {
	out := make([][]float32, len(v))
	for k := range v {
		out[k] = slices.Clone(v[k])
	}
	return out
}

func widen(v [][]float32, f func(float64) float64) [][]float64 {
	out := make([][]float64, len(v))
	for k := range v {
		out[k] = make([]float64, len(v[k]))
		for i, x := range v[k] {
			out[k][i] = f(float64(x))
		}
	}
	return out
}

// differ describes a got that is not within rel·mag of want; the smallest normal
// number is always allowed, since kernels may flush denormals.
func differ(got, want, rel, mag float64) string {
	switch {
	case got != got || want != want:
		if got != got && want != want {
			return ""
		}
	case float64(float32(want)) == got:
		return ""
	case math.Abs(got-want) <= rel*mag+minNormal:
		return ""
	}
	return fmt.Sprintf("got %v, want %v (error %.3g of magnitude %.3g, bound %.3g)", got, want, math.Abs(got-want)/mag,
		mag, rel)
}

// check compares what run did to v with the float64 reference on the input.
func (c kernelCase) check(t *testing.T, input, got [][]float32, scalars []float64) {
	t.Helper()
	want, mag := widen(input, func(x float64) float64 { return x }), widen(input, math.Abs)
	wantScalars, scalarMag := c.ref(want, mag)
	for i := range wantScalars {
		if d := differ(scalars[i], wantScalars[i], c.rel, scalarMag[i]); d != "" {
			t.Errorf("%s of length %d, result %d: %s", c.name, len(input[0]), i, d)
		}
	}
	for k := range want {
		for i := range want[k] {
			if d := differ(float64(got[k][i]), want[k][i], c.rel, mag[k][i]); d != "" {
				var in []float32
				for _, v := range input {
					in = append(in, v[i])
				}
				t.Errorf("%s of length %d, argument %d, element %d, input %v: %s", c.name, len(input[0]), k, i, in, d)
				if t.Failed() && i > 20 {
					return
				}
			}
		}
	}
}

func TestKernelsAgreeWithFloat64(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(1))
		for _, c := range kernelCases() {
			for _, scale := range []float64{0.02, 1, 12} {
				for _, n := range []int{192, 1000, 3*reduceBlock + 17} {
					in := c.inputs(r, n, scale)
					v := clone(in)
					c.check(t, in, v, c.run(v))
				}
			}
		}
	})
}

func TestKernelsAtEdgeValues(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, c := range kernelCases() {
			if !c.pointwise {
				continue
			}
			// All pairs of the last two arguments; the first cycles on its own.
			in := make([][]float32, c.args)
			for i, a := range edgeValues {
				for j, b := range edgeValues {
					if c.finiteLast && abs32(b) > 1e38 {
						b = 1e38
					}
					in[c.args-1] = append(in[c.args-1], b)
					in[c.args-2] = append(in[c.args-2], a)
					if c.args == 3 {
						in[0] = append(in[0], edgeValues[(i*7+j*3)%len(edgeValues)])
					}
				}
			}
			v := clone(in)
			c.check(t, in, v, c.run(v))
		}
	})
}

// sentinel fills the zones around the slices of TestKernelsStayInBounds.
const sentinel = 0x7fa5a5a5

func guarded(x []float32, offset int) (slice, buffer []float32) {
	const zone = 32
	buffer = make([]float32, zone+offset+len(x)+zone)
	for i := range buffer {
		buffer[i] = math.Float32frombits(sentinel)
	}
	slice = buffer[zone+offset:][:len(x):len(x)]
	copy(slice, x)
	return slice, buffer
}

func guardsIntact(slice, buffer []float32, offset int) bool {
	intact := true
	for i, x := range buffer {
		if i < 32+offset || i >= 32+offset+len(slice) {
			intact = intact && math.Float32bits(x) == sentinel
		}
	}
	return intact
}

func TestKernelsAtAllLengths(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(2))
		for _, c := range kernelCases() {
			for n := range 131 {
				in := c.inputs(r, n, 1)
				v, buffers := make([][]float32, c.args), make([][]float32, c.args)
				for k := range v {
					v[k], buffers[k] = guarded(in[k], (n+k)%5)
				}
				c.check(t, in, v, c.run(v))
				for k := range v {
					if !guardsIntact(v[k], buffers[k], (n+k)%5) {
						t.Errorf("%s of length %d writes outside argument %d", c.name, n, k)
					}
				}
			}
		}
	})
}

// aliases are the calls with a destination that is also a source.
func TestKernelsInPlace(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(3))
		for _, c := range kernelCases() {
			if c.args < 2 || c.name == "AdamW" || c.name == "Dot" {
				continue
			}
			for src := 1; src < c.args; src++ {
				if c.name == "NormRowGrad" && src < 3 || c.name == "ScaleBiasMax" {
					continue // dgamma and dbeta are destinations too
				}
				for _, n := range []int{5, 64, 150} {
					in := c.inputs(r, n, 1)
					copy(in[0], in[src])
					apart := clone(in)
					wantScalars := c.run(apart)
					same := clone(in)
					same[0] = same[src]
					if got := c.run(same); !slices.Equal(got, wantScalars) || !slices.Equal(same[0], apart[0]) {
						t.Errorf("%s of length %d with argument %d as destination differs", c.name, n, src)
					}
				}
			}
		}
	})
}

func TestKernelsAreDeterministic(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(4))
		for _, c := range kernelCases() {
			in := c.inputs(r, 777, 1)
			first := clone(in)
			scalars := c.run(first)
			for offset := range 4 { // alignment must not matter
				v := make([][]float32, c.args)
				for k := range v {
					v[k], _ = guarded(in[k], offset)
				}
				if got := c.run(v); !slices.Equal(got, scalars) {
					t.Errorf("%s: results %v and %v from equal input", c.name, got, scalars)
				}
				for k := range v {
					if !slices.Equal(v[k], first[k]) {
						t.Errorf("%s: argument %d differs from run to run", c.name, k)
					}
				}
			}
		}
	})
}

// TestLevelsAgree asks for 1e-6 relative to the magnitudes of the reference.
func TestLevelsAgree(t *testing.T) {
	r := rand.New(rand.NewSource(5))
	for _, c := range kernelCases() {
		property := func(n uint16) bool {
			in := c.inputs(r, int(n%600), 2)
			mag := widen(in, math.Abs)
			_, scalarMag := c.ref(widen(in, func(x float64) float64 { return x }), mag)
			var base [][]float32
			var baseScalars []float64
			ok := true
			for _, name := range Levels() {
				restore, err := SetLevel(name)
				if err != nil {
					t.Fatal(err)
				}
				v := clone(in)
				scalars := c.run(v)
				restore()
				if base == nil {
					base, baseScalars = v, scalars
					continue
				}
				for i := range scalars {
					ok = ok && differ(scalars[i], baseScalars[i], 1e-6, scalarMag[i]) == ""
				}
				for k := range v {
					for i := range v[k] {
						ok = ok && differ(float64(v[k][i]), float64(base[k][i]), 1e-6, mag[k][i]) == ""
					}
				}
			}
			return ok
		}
		if err := quick.Check(property, &quick.Config{MaxCount: 30}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestKernelsDoNotAllocate(t *testing.T) {
	r := rand.New(rand.NewSource(6))
	x, y, z := normal(r, 100, 1), normal(r, 100, 1), normal(r, 100, 1)
	var sink float32
	allocs := testing.AllocsPerRun(10, func() {
		Gelu(x, y)
		mean, rstd := NormRow(x, y, z, z, 1e-5)
		NormRowGrad(x, y, z, z, y, x, mean, rstd)
		sink += Sum(x) + Dot(x, y) + Max(x) + ExpShiftSum(y, 1) + ScaleBiasMax(x, 1, nil)
		AdamW(x, y, z, x, AdamWParams{Bias1: 1, Bias2: 1, Eps: 1})
	})
	if allocs != 0 {
		t.Errorf("%v allocations per run", allocs)
	}
}
