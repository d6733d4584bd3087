package vec

import "math"

// The portable reductions accumulate four float64 lanes: as fast as one, free
// of dependency stalls, and more accurate than the float32 lanes of assembly.

func sumGo(x []float32) float32 {
	var s0, s1, s2, s3 float64
	for ; len(x) >= 4; x = x[4:] {
		s0 += float64(x[0])
		s1 += float64(x[1])
		s2 += float64(x[2])
		s3 += float64(x[3])
	}
	for _, v := range x {
		s0 += float64(v)
	}
	return float32(s0 + s1 + (s2 + s3))
}

func dotGo(a, b []float32) float32 {
	var s0, s1, s2, s3 float64
	for ; len(a) >= 4 && len(b) >= 4; a, b = a[4:], b[4:] {
		s0 += float64(a[0]) * float64(b[0])
		s1 += float64(a[1]) * float64(b[1])
		s2 += float64(a[2]) * float64(b[2])
		s3 += float64(a[3]) * float64(b[3])
	}
	for i, v := range a {
		s0 += float64(v) * float64(b[i])
	}
	return float32(s0 + s1 + (s2 + s3))
}

func sumSqGo(x []float32) float64 {
	var s0, s1, s2, s3 float64
	for ; len(x) >= 4; x = x[4:] {
		s0 += float64(x[0]) * float64(x[0])
		s1 += float64(x[1]) * float64(x[1])
		s2 += float64(x[2]) * float64(x[2])
		s3 += float64(x[3]) * float64(x[3])
	}
	for _, v := range x {
		s0 += float64(v) * float64(v)
	}
	return s0 + s1 + (s2 + s3)
}

func sumSqDevGo(x []float32, mean float32) float32 {
	var s0, s1 float64
	for ; len(x) >= 2; x = x[2:] {
		d0, d1 := float64(x[0]-mean), float64(x[1]-mean)
		s0 += d0 * d0
		s1 += d1 * d1
	}
	for _, v := range x {
		d := float64(v - mean)
		s0 += d * d
	}
	return float32(s0 + s1)
}

func maxGo(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

func maxAbsBitsGo(x []float32) uint32 {
	var m uint32
	for _, v := range x {
		m = max(m, math.Float32bits(v)&^(1<<31))
	}
	return m
}

func scaleMaxGo(x []float32, scale float32) float32 {
	m := float32(math.Inf(-1))
	for i, v := range x {
		v *= scale
		x[i] = v
		if v > m {
			m = v
		}
	}
	return m
}

func scaleBiasMaxGo(x []float32, scale float32, bias []float32) float32 {
	bias = bias[:len(x)]
	m := float32(math.Inf(-1))
	for i, v := range x {
		v = madd(v, scale, bias[i])
		x[i] = v
		if v > m {
			m = v
		}
	}
	return m
}

func expShiftSumGo(x []float32, shift float32) float32 {
	var s float64
	for i, v := range x {
		e := exp32(v - shift)
		x[i] = e
		s += float64(e)
	}
	return float32(s)
}

func normGradSumsGo(dgamma, dbeta, dy, x, gamma []float32, mean, rstd float32) (sg, sgx float32) {
	dgamma, dbeta, dy, gamma = dgamma[:len(x)], dbeta[:len(x)], dy[:len(x)], gamma[:len(x)]
	var a, b float64
	for i := range x {
		xhat := (x[i] - mean) * rstd
		dgamma[i] = madd(dy[i], xhat, dgamma[i])
		dbeta[i] += dy[i]
		g := dy[i] * gamma[i]
		a += float64(g)
		b += float64(g) * float64(xhat)
	}
	return float32(a), float32(b)
}
