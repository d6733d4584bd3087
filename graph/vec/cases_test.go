package vec

import (
	"math"
	"testing"
)

// A kernelCase describes one exported function for all the tests: run calls it
// on slices of equal length, ref computes the same in float64.
type kernelCase struct {
	name string
	args int
	run  func(v [][]float32) []float64
	// ref overwrites the destinations among v, and returns the scalar results.
	// m starts as |v|; ref sets it to the magnitude that the error of each
	// destination element is relative to, and returns those of the scalars.
	ref func(v, m [][]float64) (scalars, magnitudes []float64)
	rel float64 // error bound relative to the magnitude
	// pointwise kernels are also tested on infinities, NaN and the like.
	pointwise bool
	// nonNegative lists the arguments that must not be negative.
	nonNegative []int
	// finiteLast keeps edge values of the last argument, an incoming gradient,
	// finite: infinity times a factor depends on where the factor underflows.
	finiteLast bool
}

const (
	minNormal = 0x1p-126
	ulp       = 0x1p-23
)

// testScale is a variable so that benchmarks, which repeat a call in place, can
// avoid a decay to denormals.
var testScale float32 = 0.37

func unary(name string, rel float64, f func(dst, x []float32), ref func(x float64) float64,
	mag func(x float64) float64) kernelCase {
	return kernelCase{name: name, args: 2, rel: rel, pointwise: true,
		run: func(v [][]float32) []float64 { f(v[0], v[1]); return nil },
		ref: func(v, m [][]float64) (_, _ []float64) {
			for i, x := range v[1] {
				v[0][i] = ref(x)
				m[0][i] = mag(x)
			}
			return nil, nil
		}}
}

func binary(name string, rel float64, f func(dst, a, b []float32), ref func(a, b float64) (y, mag float64)) kernelCase {
	return kernelCase{name: name, args: 3, rel: rel, pointwise: true,
		run: func(v [][]float32) []float64 { f(v[0], v[1], v[2]); return nil },
		ref: func(v, m [][]float64) (_, _ []float64) {
			for i := range v[0] {
				v[0][i], m[0][i] = ref(v[1][i], v[2][i])
			}
			return nil, nil
		}}
}

func gradient(name string, rel float64, f func(dst, a, b []float32), factor func(x float64) float64) kernelCase {
	c := binary(name, rel, f, func(x, dy float64) (float64, float64) {
		return dy * factor(x), math.Abs(dy) * max(1, math.Abs(factor(x)))
	})
	c.finiteLast = true
	return c
}

func exact(y float64) (float64, float64) { return y, math.Abs(y) }

func refSigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
func refCDF(x float64) float64     { return 0.5 * math.Erfc(-x/math.Sqrt2) }
func clamp(x float64) float64 {
	if x != x {
		return x
	}
	return max(-200, min(200, x))
}

func kernelCases() []kernelCase {
	const alpha, shift, delta = float32(-1.3), float32(0.7), float32(0.21)
	relu := func(x float64) float64 {
		if x < 0 {
			return 0
		}
		return x
	}
	expMag := math.Exp
	linMag := func(x float64) float64 { return max(1, math.Abs(x)) }
	return []kernelCase{
		unary("Exp", 2.5e-7, Exp, math.Exp, expMag),
		unary("Sigmoid", 4e-7, Sigmoid, refSigmoid, refSigmoid),
		// Three roundings of dy·y·(1-y), the last difference in float32.
		binary("SigmoidGrad", 2*ulp, SigmoidGrad, func(y, dy float64) (float64, float64) {
			return exact(dy * y * (1 - y))
		}),
		unary("Gelu", 5e-7, Gelu, func(x float64) float64 {
			return max(x, -200) * refCDF(x)
		}, linMag),
		gradient("GeluGrad", 5e-7, GeluGrad, func(x float64) float64 {
			x = clamp(x)
			return refCDF(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
		}),
		unary("Silu", 5e-7, Silu, func(x float64) float64 { return max(x, -200) * refSigmoid(x) },
			// Where σ(x) is flushed to 0, an error of |x|·minNormal is right.
			func(x float64) float64 { return math.Abs(max(x, -200)) * (refSigmoid(x) + minNormal/5e-7) }),
		gradient("SiluGrad", 5e-7, SiluGrad, func(x float64) float64 {
			return refSigmoid(x) * (1 + clamp(x)*refSigmoid(-x))
		}),
		unary("Relu", 0, Relu, relu, relu),
		binary("ReluGrad", 0, ReluGrad, func(y, dy float64) (float64, float64) {
			if y > 0 {
				return exact(dy)
			}
			return 0, 0
		}),
		binary("Add", ulp, Add, func(a, b float64) (float64, float64) { return exact(a + b) }),
		binary("Mul", ulp, Mul, func(a, b float64) (float64, float64) { return exact(a * b) }),
		{name: "MulAdd", args: 3, rel: ulp, pointwise: true,
			run: func(v [][]float32) []float64 { MulAdd(v[0], v[1], v[2]); return nil },
			ref: func(v, m [][]float64) (_, _ []float64) {
				for i := range v[0] {
					v[0][i], m[0][i] = exact(v[0][i] + v[1][i]*v[2][i])
				}
				return nil, nil
			}},
		{name: "Axpy", args: 2, rel: ulp, pointwise: true,
			run: func(v [][]float32) []float64 { Axpy(v[0], alpha, v[1]); return nil },
			ref: func(v, m [][]float64) (_, _ []float64) {
				for i := range v[0] {
					v[0][i], m[0][i] = exact(v[0][i] + float64(alpha)*v[1][i])
				}
				return nil, nil
			}},
		unary("Scale", ulp, func(dst, x []float32) { Scale(dst, alpha, x) },
			func(x float64) float64 { return float64(alpha) * x }, func(x float64) float64 { return 1.3 * math.Abs(x) }),
		{name: "AddTo", args: 2, rel: ulp, pointwise: true,
			run: func(v [][]float32) []float64 { AddTo(v[0], v[1]); return nil },
			ref: func(v, m [][]float64) (_, _ []float64) {
				for i := range v[0] {
					v[0][i], m[0][i] = exact(v[0][i] + v[1][i])
				}
				return nil, nil
			}},
		{name: "Sum", args: 1, rel: 5e-7,
			run: func(v [][]float32) []float64 { return []float64{float64(Sum(v[0]))} },
			ref: func(v, _ [][]float64) (_, _ []float64) {
				s, mag := 0.0, 0.0
				for _, x := range v[0] {
					s += x
					mag += math.Abs(x)
				}
				return []float64{s}, []float64{mag}
			}},
		{name: "Dot", args: 2, rel: 5e-7,
			run: func(v [][]float32) []float64 { return []float64{float64(Dot(v[0], v[1]))} },
			ref: func(v, _ [][]float64) (_, _ []float64) {
				s, mag := 0.0, 0.0
				for i, x := range v[0] {
					s += x * v[1][i]
					mag += math.Abs(x * v[1][i])
				}
				return []float64{s}, []float64{mag}
			}},
		{name: "SumSq", args: 1, rel: 1e-13,
			run: func(v [][]float32) []float64 { return []float64{SumSq(v[0])} },
			ref: func(v, _ [][]float64) (_, _ []float64) {
				s := 0.0
				for _, x := range v[0] {
					s += x * x
				}
				return []float64{s}, []float64{s}
			}},
		{name: "Max", args: 1, rel: 0,
			run: func(v [][]float32) []float64 { return []float64{float64(Max(v[0]))} },
			ref: func(v, _ [][]float64) (_, _ []float64) { return refMax(v[0]), []float64{0} }},
		{name: "ScaleMax", args: 1, rel: ulp,
			run: func(v [][]float32) []float64 { return []float64{float64(ScaleBiasMax(v[0], testScale, nil))} },
			ref: func(v, m [][]float64) (_, _ []float64) {
				for i, x := range v[0] {
					v[0][i], m[0][i] = exact(x * float64(testScale))
				}
				return refMax(v[0]), []float64{math.Abs(refMax(v[0])[0])}
			}},
		{name: "ScaleBiasMax", args: 2, rel: ulp,
			run: func(v [][]float32) []float64 { return []float64{float64(ScaleBiasMax(v[0], testScale, v[1]))} },
			ref: func(v, m [][]float64) (_, _ []float64) {
				for i, x := range v[0] {
					v[0][i], m[0][i] = exact(x*float64(testScale) + v[1][i])
				}
				return refMax(v[0]), []float64{math.Abs(refMax(v[0])[0])}
			}},
		// The argument is rounded to float32 before the exponential, so the error
		// grows with its size.
		{name: "ExpShiftSum", args: 1, rel: 5e-7,
			run: func(v [][]float32) []float64 { return []float64{float64(ExpShiftSum(v[0], shift))} },
			ref: func(v, m [][]float64) (_, _ []float64) {
				s, mag := 0.0, 0.0
				for i, x := range v[0] {
					e := math.Exp(x - float64(shift))
					v[0][i], m[0][i] = e, e*(1+math.Abs(x))
					s += e
					mag += m[0][i]
				}
				return []float64{s}, []float64{mag}
			}},
		expScaleBiasCase("ExpScale", 2, shift),
		expScaleBiasCase("ExpScaleBias", 3, shift),
		{name: "SoftmaxGrad", args: 3, rel: 2 * ulp,
			run: func(v [][]float32) []float64 { SoftmaxGrad(v[0], v[1], v[2], delta); return nil },
			ref: func(v, m [][]float64) (_, _ []float64) {
				for i := range v[0] {
					p, d := v[1][i], v[2][i]-float64(delta)
					v[0][i], m[0][i] = exact(p * d)
				}
				return nil, nil
			}},
		normRowCase(),
		normRowGradCase(),
		adamWCase(),
	}
}

func refMax(x []float64) []float64 {
	m := math.Inf(-1)
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return []float64{m}
}

func expScaleBiasCase(name string, args int, shift float32) kernelCase {
	return kernelCase{name: name, args: args, rel: 5e-7,
		run: func(v [][]float32) []float64 {
			var bias []float32
			if args == 3 {
				bias = v[2]
			}
			ExpScaleBias(v[0], v[1], testScale, bias, shift)
			return nil
		},
		ref: func(v, m [][]float64) (_, _ []float64) {
			for i, x := range v[1] {
				y := x * float64(testScale)
				if args == 3 {
					y += v[2][i]
				}
				e := math.Exp(y - float64(shift))
				v[0][i], m[0][i] = e, e*(1+math.Abs(y))
			}
			return nil, nil
		}}
}

func normRowCase() kernelCase {
	const eps = 1e-5
	return kernelCase{name: "NormRow", args: 4, rel: 1e-6,
		run: func(v [][]float32) []float64 {
			mean, rstd := NormRow(v[0], v[1], v[2], v[3], eps)
			return []float64{float64(mean), float64(rstd)}
		},
		ref: func(v, m [][]float64) (_, _ []float64) {
			x, gamma, beta := v[1], v[2], v[3]
			if len(x) == 0 {
				return []float64{0, 0}, []float64{0, 0}
			}
			mean, size := 0.0, 0.0
			for i := range x {
				mean += x[i]
				size += math.Abs(x[i])
			}
			n := float64(len(x))
			mean, size = mean/n, size/n
			va := 0.0
			for i := range x {
				va += (x[i] - mean) * (x[i] - mean)
			}
			e := float32(eps)
			rstd := 1 / math.Sqrt(va/n+float64(e))
			for i := range x {
				v[0][i] = (x[i]-mean)*rstd*gamma[i] + beta[i]
				m[0][i] = (math.Abs(x[i])+size)*rstd*math.Abs(gamma[i]) + math.Abs(beta[i])
			}
			// The rounding of the mean enters the variance squared.
			return []float64{mean, rstd}, []float64{size, rstd * (1 + size*rstd*1e-3)}
		}}
}

func normRowGradCase() kernelCase {
	const mean, rstd = float32(0.125), float32(0.8)
	return kernelCase{name: "NormRowGrad", args: 6, rel: 1e-6,
		run: func(v [][]float32) []float64 {
			NormRowGrad(v[0], v[1], v[2], v[3], v[4], v[5], mean, rstd)
			return nil
		},
		ref: func(v, m [][]float64) (_, _ []float64) {
			dx, dgamma, dbeta, dy, x, gamma := v[0], v[1], v[2], v[3], v[4], v[5]
			n := float64(len(x))
			var g, gx, mg, mgx float64
			xhat := make([]float64, len(x))
			for i := range x {
				xhat[i] = (x[i] - float64(mean)) * float64(rstd)
				m[1][i] += math.Abs(dy[i] * xhat[i])
				m[2][i] += math.Abs(dy[i])
				dgamma[i] += dy[i] * xhat[i]
				dbeta[i] += dy[i]
				d := dy[i] * gamma[i]
				g += d / n
				gx += d * xhat[i] / n
				mg += math.Abs(d) / n
				mgx += math.Abs(d*xhat[i]) / n
			}
			for i := range x {
				dx[i] = float64(rstd) * (dy[i]*gamma[i] - g - xhat[i]*gx)
				m[0][i] = float64(rstd) * (math.Abs(dy[i]*gamma[i]) + mg + math.Abs(xhat[i])*mgx)
			}
			return nil, nil
		}}
}

func adamWCase() kernelCase {
	p := AdamWParams{LR: 3e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01,
		Bias1: 1 - math.Pow(0.9, 7), Bias2: 1 - math.Pow(0.999, 7), GradScale: 0.6}
	return kernelCase{name: "AdamW", args: 4, rel: 5e-7, nonNegative: []int{2},
		run: func(v [][]float32) []float64 { AdamW(v[0], v[1], v[2], v[3], p); return nil },
		ref: func(v, mag [][]float64) (_, _ []float64) {
			for i := range v[0] {
				g := v[3][i] * p.GradScale
				m := p.Beta1*v[1][i] + (1-p.Beta1)*g
				s := p.Beta2*v[2][i] + (1-p.Beta2)*g*g
				den := math.Sqrt(s)/math.Sqrt(p.Bias2) + p.Eps
				mag[1][i] += math.Abs(g)
				mag[2][i] = s
				mag[0][i] += p.LR / p.Bias1 * mag[1][i] / den
				v[0][i] = v[0][i]*(1-p.LR*p.WeightDecay) - p.LR/p.Bias1*m/den
				v[1][i], v[2][i] = m, s
			}
			return nil, nil
		}}
}

// eachLevel runs f as a subtest at every level of this CPU.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	for _, name := range Levels() {
		t.Run(name, func(t *testing.T) {
			restore, err := SetLevel(name)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			f(t)
		})
	}
}
