package scheme

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// schemeCase is what the tests have to know of a scheme. Every scheme has one.
type schemeCase struct {
	settings []Settings // to be tried; one of zeros for a scheme that has none
	// through is the straight-through form of the gradient, y = size(logStep)·(inner(w, logStep) + what rounding adds,
	// held fixed), which has ordinary derivatives.
	size  func(logStep float64) float64
	inner func(w, logStep float64) float64
}

// identity is the form of a scheme through which the gradient goes as it is.
func identity(s ...Settings) schemeCase {
	return schemeCase{s, func(float64) float64 { return 1 }, func(w, _ float64) float64 { return w }}
}

// stepped is the form of a scheme with levels from -1.5 to 1.5 times a step: beyond them nothing goes through.
func stepped() schemeCase {
	return schemeCase{[]Settings{{}}, math.Exp, func(w, logStep float64) float64 {
		return min(max(w/math.Exp(logStep), -largestLevel), largestLevel)
	}}
}

var schemeCases = map[string]schemeCase{
	SEQ2.Name:   stepped(),
	Paper7.Name: stepped(),
	Int4.Name: identity(Settings{Group: 16}, Settings{Group: 5, Salient: []int{0, 3}},
		Settings{Group: 128, Salient: []int{2}}),
	Int4Float32.Name: identity(Settings{Group: 16}, Settings{Group: 5, Salient: []int{0, 3}}),
	Int8.Name:        identity(Settings{}),
}

// eachScheme runs a test for every scheme of the list and each of its settings, and fails for one without a case.
func eachScheme(t *testing.T, test func(t *testing.T, of *Scheme, c schemeCase, s Settings)) {
	t.Helper()
	for _, of := range All() {
		c, ok := schemeCases[of.Name]
		if !ok || len(c.settings) == 0 {
			t.Errorf("scheme %s has no case: add one to schemeCases", of.Name)
		}
		for _, s := range c.settings {
			t.Run(fmt.Sprintf("%s/%+v", of.Name, s), func(t *testing.T) { test(t, of, c, s) })
		}
	}
}

// shapes are of all roles: matrices of even and odd rows, a convolution, a table of positions.
func shapes() [][]int {
	return [][]int{{64, 64}, {5, 13}, {7, 1, 9}, {1, 9, 24}, {37, 80}, {1, 8}, {300, 18}}
}

// Unpacked bytes are what the simulation computes, to the bit; parsing them again changes nothing; each row alone is
// what it is among all.
func TestPackedEqualsFake(t *testing.T) {
	eachScheme(t, func(t *testing.T, of *Scheme, _ schemeCase, s Settings) {
		if of.Form == nil {
			return
		}
		for _, shape := range shapes() {
			spec := Spec{of.Name, shape, s}
			m, err := spec.Matrix()
			if err != nil {
				t.Fatal(err)
			}
			for _, sigma := range []float64{1e-3, 0.02, 3} {
				w := gaussian(rand.New(rand.NewPCG(3, 4)), m.Size(), sigma)
				var steps []float32
				if of.Steps != nil {
					steps = of.Steps.Initial(w, m.Rows, false)
					for r := range steps {
						steps[r] -= 0.5 * float32(r%2) // of every other row, some weights are beyond the levels
					}
					if steps, err = of.Steps.Stored(steps); err != nil {
						t.Fatal(err)
					}
				}
				p, err := Pack(spec, w, steps)
				if err != nil {
					t.Fatal(err)
				}
				got := p.Floats()
				matrix := param("w", w, shape...)
				want := evaluate(t, func(g *graph.Graph) *graph.Node {
					if steps == nil {
						return of.Fake(g, g.Param(matrix), nil, s)
					}
					return of.Fake(g, g.Param(matrix), g.Param(param("steps", steps, m.Rows)), s)
				})
				if i := firstOther(got, want, of.Steps != nil); i >= 0 {
					t.Fatalf("%v: weight %d, %g, is packed as %g and simulated as %g", shape, i, w[i], got[i], want[i])
				}
				again, err := Parse(p.Spec(), slices.Clone(p.Bytes()))
				if err != nil {
					t.Fatal(err)
				}
				row := make([]float32, m.Cols)
				for r := range m.Rows {
					again.Rows(row, r, r+1)
					if !slices.Equal(row, got[r*m.Cols:(r+1)*m.Cols]) {
						t.Fatalf("%v: row %d alone, parsed again, differs", shape, r)
					}
				}
			}
		}
	})
}

// firstOther is the first place where a and b differ, -1 if there is none. A half-precision step and the exponential
// of its float32 logarithm may be an ulp or two apart.
func firstOther(a, b []float32, steps bool) int {
	for i := range a {
		if a[i] != b[i] && !(steps && math.Abs(float64(a[i]-b[i])) <= 1e-6*math.Abs(float64(b[i]))) {
			return i
		}
	}
	return -1
}

// The gradients of the simulation, of the weight and of learned steps, are those of its straight-through form, by
// central differences.
func TestGradients(t *testing.T) {
	eachScheme(t, func(t *testing.T, of *Scheme, c schemeCase, s Settings) {
		const rows, cols, h = 3, 14, 1e-5
		r := rand.New(rand.NewPCG(9, 1))
		w, u := param("w", gaussian(r, rows*cols, 1), rows, cols), gaussian(r, rows*cols, 1)
		steps := param("steps", []float32{0, -0.3, -1.1}, rows)
		p, y := differentiate(t, func(g *graph.Graph) *graph.Node {
			if of.Steps == nil {
				return of.Fake(g, g.Param(w), nil, s)
			}
			return of.Fake(g, g.Param(w), g.Param(steps), s)
		}, u)
		wantSteps := make([]float64, rows)
		for i, x := range w.Data() {
			x, l := float64(x), float64(steps.Data()[i/cols])
			residue := float64(y[i])/c.size(l) - c.inner(x, l)
			form := func(x, l float64) float64 { return float64(u[i]) * c.size(l) * (c.inner(x, l) + residue) }
			want := (form(x+h, l) - form(x-h, l)) / (2 * h)
			if got := float64(p.Grad(w)[i]); math.Abs(got-want) > 1e-4 {
				t.Errorf("weight %d, %g: gradient %g, differences give %g", i, x, got, want)
			}
			wantSteps[i/cols] += (form(x, l+h) - form(x, l-h)) / (2 * h)
		}
		for i, want := range wantSteps {
			if of.Steps == nil {
				break
			}
			if got := float64(p.Grad(steps)[i]); math.Abs(got-want) > 1e-4 {
				t.Errorf("step %d: gradient %g, differences give %g", i, got, want)
			}
		}
	})
}

// A panel has the bits that Rows gives, transposed, at every level of instructions; where the codes do not fill words
// there may be none.
func TestPanelsHaveTheBitsOfRows(t *testing.T) {
	for _, level := range vec.Levels() {
		restore, err := vec.SetLevel(level)
		if err != nil {
			t.Fatal(err)
		}
		eachScheme(t, func(t *testing.T, of *Scheme, _ schemeCase, s Settings) {
			if of.Form == nil {
				return
			}
			for _, rows := range []int{1, 5, 16, 37, 64} {
				for _, cols := range []int{4, 8, 48, 64, 80, 18} {
					spec := Spec{of.Name, []int{rows, cols}, s}
					p := pack(t, spec, gaussian(rand.New(rand.NewPCG(41, uint64(cols))), rows*cols, 1))
					if !p.Panels() {
						if cols%16 == 0 && s.Group%8 == 0 {
							t.Errorf("%s: [%d, %d] has no panels", level, rows, cols)
						}
						continue
					}
					comparePanels(t, p, rows, cols, p.Panel)
					comparePanels(t, p, rows, cols, func(dst []float32, from int) { graph.PanelOfRows(p, rows, cols, dst, from) })
				}
			}
		})
		restore()
	}
}

func comparePanels(t *testing.T, p *Packed, rows, cols int, write func(dst []float32, from int)) {
	t.Helper()
	width := 2 * vec.PanelLanes()
	want, panel := p.Floats(), make([]float32, cols*width)
	for from := 0; from < rows; from += width {
		write(panel, from)
		for i, got := range panel {
			row := min(from+i%width, rows-1)
			if math.Float32bits(got) != math.Float32bits(want[row*cols+i/width]) {
				t.Fatalf("[%d, %d]: row %d, column %d is %g, want %g", rows, cols, row, i/width, got, want[row*cols+i/width])
			}
		}
	}
}

// The bytes of a form are its codes and what its rows and groups hold besides; a scheme without a form says what
// takes over.
func TestSizes(t *testing.T) {
	eachScheme(t, func(t *testing.T, of *Scheme, _ schemeCase, s Settings) {
		form, err := of.PackedForm()
		if of == Paper7 {
			if err == nil || !strings.Contains(err.Error(), "no packed form: choose one of seq2, int4, int8") {
				t.Errorf("got %v, want an error with the schemes that have a form", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		m := Matrix{Rows: 96, Cols: 192, Settings: s}
		bits := 8 * float64(form.Form.Size(m)) / float64(m.Size())
		if bits < of.Bits || bits > of.Bits+5 {
			t.Errorf("%g bits a weight in all, of which codes are %g", bits, of.Bits)
		}
	})
}

// Settings that a scheme does not have are refused, before anything is computed from them.
func TestSettingsAreChecked(t *testing.T) {
	for want, spec := range map[string]Spec{
		"kind int8 has neither groups (4)":            {Int8.Name, []int{2, 4}, Settings{Group: 4}},
		"kind seq2 has neither groups (0) nor":        {SEQ2.Name, []int{2, 4}, Settings{Salient: []int{1}}},
		"group size 1: it must be at least 2":         {Int4.Name, []int{2, 4}, Settings{Group: 1}},
		"its weights are packed as int4":              {Int4Float32.Name, []int{2, 4}, Settings{Group: 2}},
		`unknown scheme "in4": did you mean "int4"?`:  {"in4", []int{2, 4}, Settings{}},
		"There are seq2, paper7, int4, int4_float32,": {"in4", []int{2, 4}, Settings{}},
	} {
		if _, err := Pack(spec, make([]float32, 8), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestRegisterRefusesWhatIsNotWhole(t *testing.T) {
	simulation := Int8.Fake
	for want, s := range map[string]*Scheme{
		"Name is empty":               {},
		"only lower-case letters":     {Name: "Int3"},
		"Doc is empty":                {Name: "x"},
		"Bits is 0":                   {Name: "x", Doc: "x"},
		"or Fake is nil":              {Name: "x", Doc: "x", Bits: 3},
		"its Steps lack":              {Name: "x", Doc: "x", Bits: 3, Fake: simulation, Steps: &Steps{}},
		"or its Form Size":            {Name: "x", Doc: "x", Bits: 3, Fake: simulation, Form: &Form{}},
		"which has no packed form":    {Name: "x", Doc: "x", Bits: 3, Fake: simulation, PackedAs: Paper7},
		`"int8": the name is taken`:   {Name: "int8", Doc: "x", Bits: 3, Fake: simulation},
		"register scheme: Name is em": nil,
	} {
		if err := Register(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
