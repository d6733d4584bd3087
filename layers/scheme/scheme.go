package scheme

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
)

// Scheme is a way to hold a weight in few bits. All that the program knows of one is here; a scheme is a value of this
// type in a file of its own. The weight is seen as a matrix, see Spec.Matrix.
type Scheme struct {
	Name string  // in settings, and in packed files the kind of a weight and the end of its tensor's name
	Doc  string  // one line
	Bits float64 // of a weight's code; what rows and groups hold besides is not counted

	// Check says what is wrong with the settings for rows of cols columns. nil: the scheme has no settings.
	Check func(cols int, s Settings) error

	// Fake adds the simulation to a graph: the node of w quantised and dequantised, shaped as w, with its gradient.
	// logStep is nil unless the scheme has Steps. With a Form, the values are to the bit those that the packed bytes
	// hold.
	Fake func(g *graph.Graph, w, logStep *graph.Node, s Settings) *graph.Node

	// Columns is the node of salient columns [rows, len(s.Salient)] that are trained apart from the frozen rest of their
	// weight, as the scheme holds them. nil: as they are.
	Columns func(g *graph.Graph, columns *graph.Node, s Settings) *graph.Node

	// Least is what the largest value of a weight must reach, LeastOf what that is. A weight below it would be drowned by
	// the least step or scale of the scheme. 0: any.
	Least   float64
	LeastOf string

	Steps *Steps // nil: the scheme has no learned steps
	Form  *Form  // nil: the scheme has no packed form of its own
	// PackedAs is the scheme that takes over when a weight is packed, for one without a Form. nil: none can.
	PackedAs *Scheme
}

// Steps belongs to schemes with a step in each row that is learned as its logarithm.
type Steps struct {
	// Initial gives the log steps that w [rows, ...] begins with: no weight is clipped, or the squared error is least.
	Initial func(w []float32, rows int, leastSquares bool) []float32
	// Stored gives log steps as a packed file holds them.
	Stored func(logStep []float32) ([]float32, error)
}

// Form is the packed form of a scheme.
type Form struct {
	// Size is the number of bytes.
	Size func(m Matrix) int
	// Pack writes the weight w [Rows, Cols], all of it finite, into dst, Size bytes of zeros. logStep is nil unless the
	// scheme has Steps.
	Pack func(dst []byte, w, logStep []float32, m Matrix) error
	// Parse reads what Pack wrote from Size bytes that may hold anything: an error, or a weight of finite numbers. data
	// does not change while the Unpacker is in use.
	Parse func(data []byte, m Matrix) (graph.Unpacker, error)
}

// Settings are what a scheme is told of a weight. A packed file keeps them in its header.
type Settings struct {
	Group   int   `json:"group,omitempty"`   // columns that share a scale
	Salient []int `json:"salient,omitempty"` // columns held in higher precision, ascending
}

// Spec is what has to be known of a packed weight besides its bytes. A packed file keeps it as JSON.
type Spec struct {
	Scheme string `json:"kind"`
	Shape  []int  `json:"shape"`
	Settings
}

// Matrix is a weight seen as a matrix, with its settings.
type Matrix struct {
	Rows, Cols int
	Settings
}

// Size is the number of weights.
func (m Matrix) Size() int { return m.Rows * m.Cols }

// maxDim bounds rows and columns, so that sizes cannot overflow.
const maxDim = 1 << 24

// Matrix checks the shape and sees it as rows × columns: rows are the first dimension that is not 1 (output channels),
// columns the last.
func (s Spec) Matrix() (Matrix, error) {
	m := Matrix{Settings: s.Settings}
	if len(s.Shape) < 2 || len(s.Shape) > 3 {
		return m, fmt.Errorf("shape %v: want two or three dimensions", s.Shape)
	}
	for _, d := range s.Shape {
		if d < 1 || d > maxDim {
			return m, fmt.Errorf("shape %v: dimensions must be from 1 to %d", s.Shape, maxDim)
		}
	}
	m.Rows, m.Cols = s.Shape[0], s.Shape[len(s.Shape)-1]
	switch {
	case len(s.Shape) == 2:
	case s.Shape[1] == 1: // [D, 1, K], a depthwise convolution
	case s.Shape[0] == 1: // [1, M, D], position embeddings
		m.Rows = s.Shape[1]
	default:
		return m, fmt.Errorf("shape %v: of three dimensions the first or the second must be 1", s.Shape)
	}
	return m, nil
}

// PackedForm is the scheme that a packed file holds a weight of scheme s in.
func (s *Scheme) PackedForm() (*Scheme, error) {
	if s.Form != nil {
		return s, nil
	}
	if s.PackedAs != nil {
		return s.PackedAs, nil
	}
	return nil, fmt.Errorf("scheme %s (%s) has no packed form: choose one of %s",
		s.Name, s.Doc, namesOf(func(s *Scheme) bool { return s.Form != nil }))
}

// checkSettings is Check, with the error of a scheme that has no settings.
func (s *Scheme) checkSettings(cols int, v Settings) error {
	if s.Check != nil {
		return s.Check(cols, v)
	}
	if v.Group != 0 || len(v.Salient) != 0 {
		return fmt.Errorf("kind %s has neither groups (%d) nor salient columns (%v)", s.Name, v.Group, v.Salient)
	}
	return nil
}

// Packed is a quantised weight in the bytes that it is stored in, from which kernels compute. The only floats that it
// keeps are what a form tabulates: the 256 scales of an INT4 weight (1 KiB).
type Packed struct {
	*graph.PackedMatrix
	spec Spec
	data []byte
}

// Spec describes the weight.
func (p *Packed) Spec() Spec { return p.spec }

// Bytes are what a file stores; they are not to be changed.
func (p *Packed) Bytes() []byte { return p.data }

// Pack packs w, of the shape in spec, as the scheme's Fake sees it. logStep is nil unless the scheme has Steps, and
// is as a file stores it (Steps.Stored). Weights that are not finite are an error.
func Pack(spec Spec, w, logStep []float32) (*Packed, error) {
	form, m, err := spec.form()
	if err != nil {
		return nil, err
	}
	if len(w) != m.Size() {
		return nil, fmt.Errorf("%d weights, want %d for shape %v", len(w), m.Size(), spec.Shape)
	}
	for i, v := range w {
		if v-v != 0 { // NaN or infinite
			return nil, fmt.Errorf("weight %d (row %d, column %d) is %g: only finite weights can be packed",
				i, i/m.Cols, i%m.Cols, v)
		}
	}
	data := make([]byte, form.Size(m))
	if err := form.Pack(data, w, logStep, m); err != nil {
		return nil, err
	}
	return Parse(spec, data)
}

// Parse reads a packed weight. data is not copied; it must not change. Whatever data and spec are, the result is a
// weight of finite numbers that can be computed with, or an error.
func Parse(spec Spec, data []byte) (*Packed, error) {
	form, m, err := spec.form()
	if err != nil {
		return nil, err
	}
	if n := form.Size(m); len(data) != n {
		return nil, fmt.Errorf("%d bytes, want %d for %s of shape %v", len(data), n, spec.Scheme, spec.Shape)
	}
	u, err := form.Parse(data, m)
	if err != nil {
		return nil, err
	}
	return &Packed{graph.NewPackedMatrix(spec.Scheme, spec.Shape, m.Rows, m.Cols, u), spec.clone(), data}, nil
}

// form checks the spec and finds the packed form of its scheme.
func (s Spec) form() (*Form, Matrix, error) {
	m, err := s.Matrix()
	if err != nil {
		return nil, m, err
	}
	of, err := Lookup(s.Scheme)
	if err != nil {
		return nil, m, err
	}
	if of.Form == nil {
		_, err := of.PackedForm()
		if err == nil {
			err = fmt.Errorf("scheme %s has no packed form: its weights are packed as %s", of.Name, of.PackedAs.Name)
		}
		return nil, m, err
	}
	return of.Form, m, of.checkSettings(m.Cols, s.Settings)
}

// clone is a copy that later changes by the caller do not reach.
func (s Spec) clone() Spec { return Spec{s.Scheme, slices.Clone(s.Shape), s.Settings.clone()} }

func (s Settings) clone() Settings { return Settings{s.Group, slices.Clone(s.Salient)} }

// withoutSalient copies a row for quantisation, the salient columns as 0.
func (s Settings) withoutSalient(dst, w []float32) {
	copy(dst, w)
	for _, j := range s.Salient {
		dst[j] = 0
	}
}

// groups cuts a row.
func (s Settings) groups(row []float32) func(yield func(int, []float32) bool) {
	return func(yield func(int, []float32) bool) {
		for i := 0; i*s.Group < len(row); i++ {
			if !yield(i, row[i*s.Group:min((i+1)*s.Group, len(row))]) {
				return
			}
		}
	}
}

// groupsPerRow is the number of groups of a row.
func (s Settings) groupsPerRow(cols int) int { return (cols-1)/s.Group + 1 }
