package baee

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/synapnet/synapnet-train/graph/blas"
)

const (
	// ridge is added to the variances of the content, as a part of their mean, before it is whitened: directions in which
	// entries hardly differ must not be blown up.
	ridge = 0.1
	// enoughMoments is the number of examples that suffice for the moments. Of more, every n-th is taken, with the largest
	// n that leaves as many: fewer than twice as many, spread evenly over all.
	enoughMoments = 1 << 14
	// leastSpread is the standard deviation from which a feature of the history counts as varying.
	leastSpread = 1e-6
)

// standardiser maps features x [N, W] to z = (x - mean) M with mean 0, with variance 1 for each feature of the history
// and, but for the ridge, with covariance 1 for the content. It is affine: fold moves it into a classifier's first
// layer, so that a trained classifier sees features as they are.
type standardiser struct {
	mean []float32 // [W]
	m    []float32 // [W, W]
}

// newStandardiser takes the moments of the examples, whose first dim features are the content.
func newStandardiser(e Examples, dim int) (*standardiser, error) {
	w := e.Width
	s := &standardiser{mean: make([]float32, w), m: make([]float32, w*w)}
	stride := max(1, e.Len()/enoughMoments)
	n := (e.Len() + stride - 1) / stride
	row := func(i int) []float32 { return e.Features[i*stride*w : (i*stride+1)*w] }
	mean := make([]float64, w)
	for i := range n {
		for j, x := range row(i) {
			mean[j] += float64(x) / float64(n)
		}
	}
	centred := mat.NewDense(n, w, nil)
	for i := range n {
		for j, x := range row(i) {
			centred.Set(i, j, float64(x)-mean[j])
		}
	}
	for j, x := range mean {
		s.mean[j] = float32(x)
	}
	for j := dim; j < w; j++ {
		if std := math.Sqrt(mat.Dot(centred.ColView(j), centred.ColView(j)) / float64(n)); std > leastSpread {
			s.m[j*w+j] = float32(1 / std)
		}
	}
	return s, s.whiten(centred.Slice(0, n, 0, dim), w)
}

// whiten sets the block of the content to L⁻ᵀ, where L Lᵀ is the covariance of the rows with the ridge (Cholesky).
func (s *standardiser) whiten(rows mat.Matrix, width int) error {
	n, d := rows.Dims()
	var cov mat.SymDense
	cov.SymOuterK(1/float64(n), rows.T())
	add := ridge * mat.Trace(&cov) / float64(d)
	if add == 0 {
		return nil // all contents are the same: there is nothing to learn from them
	}
	for j := range d {
		cov.SetSym(j, j, cov.At(j, j)+add)
	}
	var c mat.Cholesky
	if !c.Factorize(&cov) {
		return fmt.Errorf("classifier: the contents of the examples have no usable covariance: look for values that are " +
			"not finite")
	}
	var l, inverse mat.TriDense
	c.LTo(&l)
	if err := inverse.InverseTri(&l); err != nil {
		return fmt.Errorf("classifier: the contents of the examples cannot be whitened: %w", err)
	}
	for i := range d {
		for j := range d {
			s.m[i*width+j] = float32(inverse.At(j, i))
		}
	}
	return nil
}

// apply writes the standardised features of x [N, W] to z [N, W].
func (s *standardiser) apply(z, x []float32) {
	w := len(s.mean)
	centred := make([]float32, len(x))
	for i := range x {
		centred[i] = x[i] - s.mean[i%w]
	}
	blas.Gemm(false, false, len(x)/w, w, w, 1, centred, w, s.m, w, 0, z, w)
}

// fold changes the first layer of a classifier of standardised features into that of one of the features themselves:
// W z + b = (W Mᵀ) x + (b - W Mᵀ mean).
func (s *standardiser) fold(c *Classifier) {
	width, weights, bias := c.Width(), c.w[0].Data(), c.b[0].Data()
	folded := make([]float64, width)
	for h := range bias {
		row := weights[h*width : (h+1)*width]
		shift := 0.0
		for i := range folded {
			folded[i] = 0
			for j, x := range s.m[i*width : (i+1)*width] {
				folded[i] += float64(x) * float64(row[j])
			}
			shift += folded[i] * float64(s.mean[i])
		}
		for i, x := range folded {
			row[i] = float32(x)
		}
		bias[h] = float32(float64(bias[h]) - shift)
	}
}
