package baee

import "github.com/synapnet/synapnet-train/graph/blas"

// moments are the mean and covariance of all rows seen so far, in memory that does not grow with their number.
type moments struct {
	n    int64
	mean []float32 // [D]
	cov  []float32 // [D, D], divided by n
}

// add takes in rows [Q, D] (Chan, Golub and LeVeque 1979).
func (s *moments) add(rows []float32, d int) {
	if s.n == 0 {
		s.mean, s.cov = make([]float32, d), make([]float32, d*d)
	}
	q := len(rows) / d
	mean := make([]float64, d)
	for r := 0; r < len(rows); r += d {
		for j := range d {
			mean[j] += float64(rows[r+j])
		}
	}
	for j := range mean {
		mean[j] /= float64(q)
	}
	centred := make([]float32, len(rows))
	for r := 0; r < len(rows); r += d {
		for j, x := range rows[r : r+d] {
			centred[r+j] = float32(float64(x) - mean[j])
		}
	}
	n := s.n + int64(q)
	old, fresh := float64(s.n)/float64(n), float64(q)/float64(n)
	blas.Gemm(true, false, d, d, q, float32(1/float64(n)), centred, d, centred, d, float32(old), s.cov, d)
	shift := make([]float64, d)
	for j := range shift {
		shift[j] = mean[j] - float64(s.mean[j])
		s.mean[j] += float32(fresh * shift[j])
	}
	for i := range d {
		for j := range d {
			s.cov[i*d+j] += float32(old * fresh * shift[i] * shift[j])
		}
	}
	s.n = n
}
