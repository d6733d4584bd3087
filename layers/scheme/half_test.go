package scheme

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
)

// magnitudes go from far below to far above what half precision holds.
func magnitudes() []float64 {
	var all []float64
	for m := 1e-10; m < 2e10; m *= 1.7 {
		all = append(all, m)
	}
	return all
}

// Whatever the size of the weights, each packed form gives them back within its own bound, which is relative to the
// weight's largest value, and simulates what it gives; or packing says why not. None becomes something else in silence.
func TestPackedErrorIsBoundedAtEveryMagnitude(t *testing.T) {
	const rows, cols = 6, 24
	forms := []struct {
		name     string
		bound    float64 // of the error, as a share of the largest value
		from, to float64 // magnitudes that must be packed
		pack     func(w []float32) (*Packed, error)
		fake     func(g *graph.Graph, w *graph.Node) *graph.Node
	}{
		{"int8", 0.57/127 + 0.5/127, 8e-6, 8e6,
			func(w []float32) (*Packed, error) { return packAs(Int8, w, []int{rows, cols}, Settings{}) }, FakeInt8},
		{"int4", 2.0 / 15, 1e-10, 1e10,
			func(w []float32) (*Packed, error) { return packAs(Int4, w, []int{rows, cols}, Settings{Group: 8}) },
			func(g *graph.Graph, w *graph.Node) *graph.Node { return Int4.Fake(g, w, nil, Settings{Group: 8}) }},
		{"int4 with salient columns", 2.0 / 15, 2e-5, 6e4,
			func(w []float32) (*Packed, error) {
				return packAs(Int4, w, []int{rows, cols}, Settings{8, []int{2, 9}})
			},
			func(g *graph.Graph, w *graph.Node) *graph.Node { return Int4.Fake(g, w, nil, Settings{8, []int{2, 9}}) }},
		{"seq2", 0.5 / 1.5 * 1.1, 1e-5, 9e4,
			func(w []float32) (*Packed, error) { return packSteps(w, []int{rows, cols}, halfSteps(w, rows)) }, nil},
	}
	for _, f := range forms {
		for _, m := range magnitudes() {
			w := rowsOfSizes(rand.New(rand.NewPCG(3, uint64(math.Float64bits(m)))), rows, cols, m)
			p, err := f.pack(w)
			if err != nil {
				if m >= f.from && m <= f.to {
					t.Errorf("%s refuses weights up to %.2g: %v", f.name, m, err)
				}
				continue
			}
			back := p.Floats()
			for i, v := range back {
				if e := math.Abs(float64(v) - float64(w[i])); !(e <= f.bound*m) {
					t.Errorf("%s, weights up to %.2g: %g came back as %g", f.name, m, w[i], v)
					break
				}
			}
			if f.fake == nil {
				continue
			}
			wp := param("w", w, rows, cols)
			if fake := evaluate(t, func(g *graph.Graph) *graph.Node { return f.fake(g, g.Param(wp)) }); !slices.Equal(back,
				fake) {
				t.Errorf("%s, weights up to %.2g: unpacked and simulated weights differ", f.name, m)
			}
		}
	}
}

// rowsOfSizes gives rows whose sizes differ, the largest value of all being m: one row of zeros, one a thousand times
// smaller.
func rowsOfSizes(r *rand.Rand, rows, cols int, m float64) []float32 {
	w := make([]float32, rows*cols)
	for i := range w {
		w[i] = float32(m * (2*r.Float64() - 1) * [...]float64{1, 0.5, 0.2, 0, 1e-3, 0.7}[i/cols%6])
	}
	w[0] = float32(m)
	return w
}

// halfSteps are steps that clip no weight, in half precision.
func halfSteps(w []float32, rows int) []float32 {
	n := len(w) / rows
	steps := make([]float32, rows)
	for r := range steps {
		steps[r] = halfLogStep(float32(math.Log(max(float64(largestOf(w[r*n:(r+1)*n]))/largestLevel, 1e-12))))
	}
	return steps
}

// The scale of 8-bit codes never cuts the largest of them: half a scale more than 127 of it reach the largest value.
func TestHalfScaleReachesTheLargestValue(t *testing.T) {
	for _, m := range magnitudes() {
		largest := float32(m)
		h := HalfScale(largest)
		if m > int8Levels*maxHalf*1.001 {
			if !h.IsInf(0) {
				t.Errorf("the scale for %g is %v, want infinity: half precision holds none", largest, h)
			}
			continue
		}
		scale := float64(h.Float32())
		if scale*127.5 < m || scale > m/127*(1+0x1p-11)+0x1p-24 {
			t.Errorf("the scale for %g is %g", largest, scale)
		}
	}
	if h := HalfScale(0); h != 0 {
		t.Errorf("the scale for 0 is %v", h)
	}
}

// A tensor is held if no value is beyond half precision and the largest is not too small for it; factors one by one.
func TestHoldsHalf(t *testing.T) {
	for _, c := range []struct {
		values      []float32
		tensor, all bool
	}{
		{nil, true, true},
		{[]float32{0, 0}, true, true},
		{[]float32{1, -65504}, true, true},
		{[]float32{1, 1e-9}, true, false},
		{[]float32{2e-5, 1e-6}, true, false},
		{[]float32{1e-5, -1e-6}, false, false},
		{[]float32{0x1p-24, 3 * 0x1p-24}, true, true}, // exact, though small
		{[]float32{65520}, false, false},
		{[]float32{float32(math.NaN())}, false, false},
	} {
		if tensor, all := HoldsHalf(c.values), HoldsEachHalf(c.values); tensor != c.tensor || all != c.all {
			t.Errorf("%v: a tensor %v, factors %v; want %v, %v", c.values, tensor, all, c.tensor, c.all)
		}
	}
}

// Weights that a form cannot hold are refused with the largest value and the mend.
func TestPackingRefusesWhatHalfPrecisionLoses(t *testing.T) {
	w := []float32{1e-7, -3e-7, 0, 2e-7}
	shape := []int{2, 2}
	for want, f := range map[string]func() error{
		"the largest of its values is 3e-07, and 8 bits": func() error {
			_,
				err := packAs(Int8, w, shape, Settings{})
			return err
		},
		"values beyond 8.319e+06": func() error {
			_,
				err := packAs(Int8, []float32{1, 9e6, 0, 0}, shape, Settings{})
			return err
		},
		"the largest of its values is 3e-07: salient columns": func() error {
			_,
				err := packAs(Int4, w, shape, Settings{2, []int{1}})
			return err
		},
		"the largest of its steps is 1.12535176e-07: 2-bit": func() error {
			_,
				err := packSteps(w, shape, []float32{-16, -16})
			return err
		},
		"salient column 0, row 0: 100000 is beyond half precision": func() error {
			_, err := packAs(Int4, []float32{1e5, 0, 0, 0}, shape, Settings{2, []int{0}})
			return err
		},
		fmt.Sprintf("step of row 1: %v is beyond", float32(268337.28)): func() error {
			_,
				err := packSteps(w, shape, []float32{0, 12.5})
			return err
		},
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
