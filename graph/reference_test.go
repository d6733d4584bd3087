package graph

import (
	"cmp"
	"math"
	"slices"
)

// The references: naive float64 forms of the formulas in the kernels' doc comments.

func refActivation(a Activation, x float64) float64 {
	switch a {
	case Sigmoid:
		return 1 / (1 + math.Exp(-x))
	case ReLU:
		return max(x, 0)
	case GELU:
		return x * (1 + math.Erf(x/math.Sqrt2)) / 2
	case SiLU:
		return x / (1 + math.Exp(-x))
	}
	return x
}

func refLinear(x, w ref, bias []float64, act Activation) []float64 {
	n, k := w.dim(0), w.dim(1)
	y := make([]float64, x.rows()*n)
	for r := range x.rows() {
		for o := range n {
			var p float64
			if bias != nil {
				p = bias[o]
			}
			for i := range k {
				p += x.f[r*k+i] * w.f[o*k+i]
			}
			y[r*n+o] = refActivation(act, p)
		}
	}
	return y
}

func refNorm(x, gamma, beta []float64) []float64 {
	d := len(gamma)
	y := make([]float64, len(x))
	for r := 0; r < len(x); r += d {
		var mean, variance float64
		for _, v := range x[r : r+d] {
			mean += v / float64(d)
		}
		for _, v := range x[r : r+d] {
			variance += (v - mean) * (v - mean) / float64(d)
		}
		for i := range d {
			y[r+i] = (x[r+i]-mean)/math.Sqrt(variance+1e-5)*gamma[i] + beta[i]
		}
	}
	return y
}

// refNormConcat takes P inputs, then P scales, then P shifts.
func refNormConcat(in []ref) []float64 {
	paths, d, rows := len(in)/3, in[0].dim(-1), in[0].rows()
	y := make([]float64, rows*paths*d)
	for p := range paths {
		n := refNorm(in[p].f, in[paths+p].f, in[2*paths+p].f)
		for r := range rows {
			copy(y[(r*paths+p)*d:], n[r*d:(r+1)*d])
		}
	}
	return y
}

func refEmbed(in []ref) []float64 {
	ids, w, p := in[0], in[1], in[2]
	t, d := ids.dim(1), w.dim(1)
	var y []float64
	for i, id := range ids.i {
		for j := range d {
			y = append(y, w.f[int(id)*d+j]+p.f[i%t*d+j])
		}
	}
	return y
}

func refEmbedAt(in []ref) []float64 {
	ids, at, w, p := in[0], in[1], in[2], in[3]
	d := w.dim(1)
	var y []float64
	for i, id := range ids.i {
		for j := range d {
			y = append(y, w.f[int(id)*d+j]+p.f[int(at.i[i])*d+j])
		}
	}
	return y
}

func refGatedConv(in []ref) []float64 {
	n, a, w, b := in[0], in[1], in[2], in[3]
	length, d, k := n.dim(1), n.dim(2), w.dim(2)
	y := make([]float64, len(n.f))
	for s := range n.dim(0) {
		for t := range length {
			for j := range d {
				conv := b.f[j]
				for i := range k {
					if u := t + i - k/2; u >= 0 && u < length {
						conv += w.f[j*k+i] * n.f[(s*length+u)*d+j]
					}
				}
				at := (s*length+t)*d + j
				y[at] = n.f[at] + a.f[at]*conv
			}
		}
	}
	return y
}

// refSalience finds the threshold by sorting.
func refSalience(r ref, k int) []float64 {
	t := r.dim(1)
	y := make([]float64, len(r.f))
	for b := 0; b < len(r.f); b += t {
		sorted := slices.Clone(r.f[b : b+t])
		slices.SortFunc(sorted, func(x, y float64) int { return cmp.Compare(y, x) })
		for i := b; i < b+t; i++ {
			y[i] = 1 / (1 + math.Exp(-10*(r.f[i]-sorted[k-1])))
		}
	}
	return y
}

func refGather(in []ref, count, slots int) []float64 {
	x, idx := in[0], in[1]
	t, d := x.dim(1), x.dim(2)
	y := make([]float64, x.dim(0)*slots*d)
	for b := range x.dim(0) {
		for i := range count {
			from := int(idx.i[b*idx.dim(1)+i])
			copy(y[(b*slots+i)*d:(b*slots+i+1)*d], x.f[(b*t+from)*d:])
		}
	}
	return y
}

// refAttention makes whole [Q, K] scores, one head and query at a time.
func refAttention(in []ref, heads int) []float64 {
	q, k, v := in[0], in[1], in[2]
	queries, keys, d := q.dim(1), k.dim(1), q.dim(2)
	e := d / heads
	y := make([]float64, len(q.f))
	p := make([]float64, keys)
	for b := range q.dim(0) {
		for h := range heads {
			for i := range queries {
				at := (b*queries+i)*d + h*e
				var sum float64
				for j := range keys {
					score := 0.0
					for x := range e {
						score += q.f[at+x] * k.f[(b*keys+j)*d+h*e+x]
					}
					score /= math.Sqrt(float64(e))
					if len(in) > 3 {
						score += in[3].f[b*keys+j]
					}
					p[j] = math.Exp(score)
					sum += p[j]
				}
				for j := range keys {
					for x := range e {
						y[at+x] += p[j] / sum * v.f[(b*keys+j)*d+h*e+x]
					}
				}
			}
		}
	}
	return y
}

func refMix(in []ref) []float64 {
	x, alpha, beta := in[0], in[1], in[2]
	d := x.dim(-1)
	path := func(p, i int) float64 {
		if len(in) == 4 {
			return in[3].f[(i/d*3+p)*d+i%d]
		}
		return in[3+p].f[i]
	}
	y := make([]float64, len(x.f))
	for i := range y {
		y[i] = x.f[i] + path(0, i) + alpha.f[i]*path(1, i) + beta.f[i]*path(2, i)
	}
	return y
}

func refCrossEntropy(in []ref) []float64 {
	logits, labels := in[0], in[1]
	n := logits.dim(-1)
	var loss float64
	for r, l := range labels.i {
		var sum float64
		for _, x := range logits.f[r*n : (r+1)*n] {
			sum += math.Exp(x)
		}
		loss += math.Log(sum) - logits.f[r*n+int(l)]
	}
	return []float64{loss / float64(len(labels.i))}
}
