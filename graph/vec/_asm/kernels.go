package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func kernels() []kernel {
	var ks []kernel
	ks = append(ks, elementwise()...)
	ks = append(ks, activations()...)
	ks = append(ks, reductions()...)
	ks = append(ks, softmax()...)
	ks = append(ks, layerNorm()...)
	ks = append(ks, unpackers()...)
	ks = append(ks, panels()...)
	return append(ks, adamW())
}

// two and three make the common kernels that map one or two slices to dst.
func two(name, doc string, hoist []konst, unroll int, f func(g *gen, x vec) vec) kernel {
	return kernel{name: name, doc: doc, sig: "func(dst, x []float32)",
		loads: []string{"x"}, stores: []string{"dst"}, unroll: unroll, hoist: hoist,
		body: func(g *gen, in, _, _ []vec) []vec { return []vec{f(g, in[0])} }}
}

func three(name, doc, a, b string, hoist []konst, unroll int, f func(g *gen, a, b vec) vec) kernel {
	return kernel{name: name, doc: doc, sig: "func(dst, " + a + ", " + b + " []float32)",
		loads: []string{a, b}, stores: []string{"dst"}, unroll: unroll, hoist: hoist,
		body: func(g *gen, in, _, _ []vec) []vec { return []vec{f(g, in[0], in[1])} }}
}

func elementwise() []kernel {
	return []kernel{
		three("add", "computes dst = a + b.", "a", "b", nil, 4,
			func(g *gen, a, b vec) vec { return g.add(a, b) }),
		three("mul", "computes dst = a·b.", "a", "b", nil, 4,
			func(g *gen, a, b vec) vec { return g.mul(a, b) }),
		{name: "mulAdd", doc: "computes dst += a·b.", sig: "func(dst, a, b []float32)",
			loads: []string{"dst", "a", "b"}, stores: []string{"dst"}, unroll: 4,
			body: func(g *gen, in, _, _ []vec) []vec {
				g.addMul(in[0], in[1], in[2])
				return in[:1]
			}},
		{name: "axpy", doc: "computes dst += alpha·x.", sig: "func(dst []float32, alpha float32, x []float32)",
			loads: []string{"dst", "x"}, stores: []string{"dst"}, scalars: []string{"alpha"}, unroll: 4,
			body: func(g *gen, in, sc, _ []vec) []vec {
				g.addMul(in[0], in[1], sc[0])
				return in[:1]
			}},
		{name: "scale", doc: "computes dst = alpha·x.", sig: "func(dst []float32, alpha float32, x []float32)",
			loads: []string{"x"}, stores: []string{"dst"}, scalars: []string{"alpha"}, unroll: 4,
			body: func(g *gen, in, sc, _ []vec) []vec { return []vec{g.mul(in[0], sc[0])} }},
	}
}

func activations() []kernel {
	return []kernel{
		two("exp", "computes dst = e^x.", expHoist, 2,
			func(g *gen, x vec) vec { return g.exp(x, false) }),
		two("sigmoid", "computes dst = 1/(1+e^-x).", append(expHoist, signBit), 2,
			func(g *gen, x vec) vec {
				s, _ := g.logistic(x)
				return s
			}),
		three("sigmoidGrad", "computes dst = dy·y·(1-y).", "y", "dy", []konst{one}, 4,
			func(g *gen, y, dy vec) vec { return g.mul(g.mul(dy, y), g.sub(g.reg(one), y)) }),
		two("gelu", "computes dst = x·Φ(x).", expHoist, 2,
			func(g *gen, x vec) vec {
				a, q, _ := g.normalTail(x)
				y := g.max(x, zero)
				g.subMul(y, a, q)
				return y
			}),
		three("geluGrad", "computes dst = dy·(Φ(x) + x·φ(x)).", "x", "dy", expHoist, 2,
			func(g *gen, x, dy vec) vec {
				a, q, e := g.normalTail(x)
				sign := g.and(x, signBit)
				f := g.add(g.xor(g.sub(g.reg(half), q), sign), half)
				g.addMul(f, g.mul(e, invSqrt2Pi), g.or(a, sign))
				return g.mul(dy, f)
			}),
		two("silu", "computes dst = x·σ(x).", append(expHoist, signBit), 2,
			func(g *gen, x vec) vec {
				s, _ := g.logistic(x)
				return g.mul(g.max(x, linearMin), s)
			}),
		three("siluGrad", "computes dst = dy·σ(x)·(1 + x·σ(-x)).", "x", "dy", append(expHoist, signBit), 2,
			func(g *gen, x, dy vec) vec {
				s, c := g.logistic(x)
				f := g.copy(one)
				g.addMul(f, g.min(g.max(x, linearMin), linearMax), c)
				return g.mul(dy, g.mul(s, f))
			}),
		two("relu", "computes dst = max(x, 0).", []konst{zero}, 4,
			func(g *gen, x vec) vec { return g.max(x, zero) }),
		three("reluGrad", "computes dst = dy where y > 0, else 0.", "y", "dy", []konst{zero}, 4,
			func(g *gen, y, dy vec) vec { return g.keep(g.compare(y, cmpGreater, zero), dy) }),
	}
}

func reductions() []kernel {
	return []kernel{
		{name: "sum", doc: "returns Σ x.", sig: "func(x []float32) float32",
			loads: []string{"x"}, unroll: 4, accs: 1, finish: storeReduced(VADDPS),
			body: func(g *gen, in, _, acc []vec) []vec {
				VADDPS(in[0], acc[0], acc[0])
				return nil
			}},
		{name: "dot", doc: "returns Σ a·b.", sig: "func(a, b []float32) float32",
			loads: []string{"a", "b"}, unroll: 4, accs: 1, finish: storeReduced(VADDPS),
			body: func(g *gen, in, _, acc []vec) []vec {
				g.addMul(acc[0], in[0], in[1])
				return nil
			}},
		{name: "sumSqDev", doc: "returns Σ (x-mean)².", sig: "func(x []float32, mean float32) float32",
			loads: []string{"x"}, scalars: []string{"mean"}, unroll: 4, accs: 1, finish: storeReduced(VADDPS),
			body: func(g *gen, in, sc, acc []vec) []vec {
				d := g.keepTail(g.sub(in[0], sc[0]))
				g.addMul(acc[0], d, d)
				return nil
			}},
		{name: "sumSq", doc: "returns Σ x² summed in float64.", sig: "func(x []float32) float64",
			loads: []string{"x"}, unroll: 4, accs: 2, body: sumSqBody, finish: sumSqFinish},
		{name: "max", doc: "returns the largest element that is not NaN.", sig: "func(x []float32) float32",
			loads: []string{"x"}, unroll: 4, accs: 1, accInit: negInf, finish: storeReduced(VMAXPS),
			body: func(g *gen, in, _, acc []vec) []vec {
				g.accumulateMax(acc[0], in[0])
				return nil
			}},
		{name: "maxAbsBits", doc: "returns the largest bit pattern of |x|.", sig: "func(x []float32) uint32",
			loads: []string{"x"}, unroll: 4, accs: 1, finish: storeReduced(VPMAXSD), hoist: []konst{absMask},
			body: func(g *gen, in, _, acc []vec) []vec {
				VPMAXSD(g.and(in[0], absMask), acc[0], acc[0])
				return nil
			}},
	}
}

// accumulateMax keeps acc where v is NaN, since MAXPS then returns its last
// source.
func (g *gen) accumulateMax(acc, v vec) {
	VMAXPS(acc, g.fill(v, negInf), acc)
}

// sumSqBody squares in float64, where the square of a float32 is exact.
func sumSqBody(g *gen, in, _, acc []vec) []vec {
	lo, hi := g.vec(), g.vec()
	if g.avx512 {
		h := YMM()
		VEXTRACTF64X4(Imm(1), in[0], h)
		VCVTPS2PD(in[0].AsY(), lo)
		VCVTPS2PD(h, hi)
	} else {
		h := XMM()
		VEXTRACTF128(Imm(1), in[0], h)
		VCVTPS2PD(in[0].AsX(), lo)
		VCVTPS2PD(h, hi)
	}
	VFMADD231PD(lo, lo, acc[0])
	VFMADD231PD(hi, hi, acc[1])
	return nil
}

func sumSqFinish(g *gen, acc [][]vec) {
	t := g.vec()
	VADDPD(fold(g, acc, 1, VADDPD), fold(g, acc, 0, VADDPD), t)
	y := t.AsY()
	if g.avx512 {
		h, s := YMM(), YMM()
		VEXTRACTF64X4(Imm(1), t, h)
		VADDPD(h, y, s)
		y = s.AsY()
	}
	h, s, w, r := XMM(), XMM(), XMM(), XMM()
	VEXTRACTF128(Imm(1), y, h)
	VADDPD(h, y.(reg.Vec).AsX(), s)
	VPERMILPD(Imm(1), s, w)
	VADDPD(w, s, r)
	VMOVSD(r, result(0))
}

func softmax() []kernel {
	return []kernel{
		{name: "scaleMax", doc: "computes x = x·scale and returns the largest.",
			sig:   "func(x []float32, scale float32) float32",
			loads: []string{"x"}, stores: []string{"x"}, scalars: []string{"scale"}, unroll: 4,
			accs: 1, accInit: negInf, finish: storeReduced(VMAXPS),
			body: func(g *gen, in, sc, acc []vec) []vec {
				y := g.mul(in[0], sc[0])
				g.accumulateMax(acc[0], y)
				return []vec{y}
			}},
		{name: "scaleBiasMax", doc: "computes x = x·scale + bias and returns the largest.",
			sig:   "func(x []float32, scale float32, bias []float32) float32",
			loads: []string{"x", "bias"}, stores: []string{"x"}, scalars: []string{"scale"}, unroll: 4,
			accs: 1, accInit: negInf, finish: storeReduced(VMAXPS),
			body: func(g *gen, in, sc, acc []vec) []vec {
				g.fma(in[0], sc[0], in[1])
				g.accumulateMax(acc[0], in[0])
				return in[:1]
			}},
		{name: "expShiftSum", doc: "computes x = e^(x-shift) and returns the sum.",
			sig:   "func(x []float32, shift float32) float32",
			loads: []string{"x"}, stores: []string{"x"}, scalars: []string{"shift"}, unroll: 2, hoist: expHoist,
			accs: 1, finish: storeReduced(VADDPS),
			body: func(g *gen, in, sc, acc []vec) []vec {
				e := g.exp(g.sub(in[0], sc[0]), false)
				VADDPS(g.keepTail(e), acc[0], acc[0])
				return []vec{e}
			}},
		{name: "expScale", doc: "computes dst = e^(x·scale - shift).", sig: "func(dst, x []float32, scale, shift float32)",
			loads: []string{"x"}, stores: []string{"dst"}, scalars: []string{"scale", "shift"}, unroll: 2, hoist: expHoist,
			body: func(g *gen, in, sc, _ []vec) []vec {
				VFMSUB213PS(sc[1], sc[0], in[0])
				return []vec{g.exp(in[0], false)}
			}},
		{name: "expScaleBias", doc: "computes dst = e^(x·scale + bias - shift).",
			sig:   "func(dst, x []float32, scale float32, bias []float32, shift float32)",
			loads: []string{"x", "bias"}, stores: []string{"dst"}, scalars: []string{"scale", "shift"}, unroll: 2,
			hoist: expHoist,
			body: func(g *gen, in, sc, _ []vec) []vec {
				g.fma(in[0], sc[0], in[1])
				return []vec{g.exp(g.sub(in[0], sc[1]), false)}
			}},
		{name: "softmaxGrad", doc: "computes ds = p·(dp - delta).", sig: "func(ds, p, dp []float32, delta float32)",
			loads: []string{"p", "dp"}, stores: []string{"ds"}, scalars: []string{"delta"}, unroll: 4,
			body: func(g *gen, in, sc, _ []vec) []vec {
				return []vec{g.mul(in[0], g.sub(in[1], sc[0]))}
			}},
	}
}

func layerNorm() []kernel {
	return []kernel{
		{name: "normApply", doc: "computes dst = (x-mean)·rstd·gamma + beta.",
			sig:   "func(dst, x, gamma, beta []float32, mean, rstd float32)",
			loads: []string{"x", "gamma", "beta"}, stores: []string{"dst"}, scalars: []string{"mean", "rstd"}, unroll: 4,
			body: func(g *gen, in, sc, _ []vec) []vec {
				y := g.mul(g.sub(in[0], sc[0]), sc[1])
				g.fma(y, in[1], in[2])
				return []vec{y}
			}},
		{name: "normGradSums", doc: "computes dgamma += dy·x̂, dbeta += dy and returns Σ dy·gamma, Σ dy·gamma·x̂.",
			sig:   "func(dgamma, dbeta, dy, x, gamma []float32, mean, rstd float32) (sg, sgx float32)",
			loads: []string{"dgamma", "dbeta", "dy", "x", "gamma"}, stores: []string{"dgamma", "dbeta"},
			scalars: []string{"mean", "rstd"}, unroll: 2, accs: 2, finish: storeReduced(VADDPS),
			body: func(g *gen, in, sc, acc []vec) []vec {
				dgamma, dbeta, dy := in[0], in[1], in[2]
				xhat := g.mul(g.sub(in[3], sc[0]), sc[1])
				gr := g.mul(dy, in[4])
				VADDPS(gr, acc[0], acc[0])
				// The lanes past the end are 0 in gr but not in x̂, which a
				// huge mean·rstd could make infinite.
				g.addMul(acc[1], gr, g.keepTail(xhat))
				g.addMul(dgamma, dy, xhat)
				return []vec{dgamma, g.add(dbeta, dy)}
			}},
		{name: "normGradApply", doc: "computes dx = rstd·(dy·gamma - avgG - x̂·avgGX).",
			sig:   "func(dx, dy, x, gamma []float32, mean, rstd, avgG, avgGX float32)",
			loads: []string{"dy", "x", "gamma"}, stores: []string{"dx"},
			scalars: []string{"mean", "rstd", "avgG", "avgGX"}, unroll: 2,
			body: func(g *gen, in, sc, _ []vec) []vec {
				dy, mean, rstd, avgG, avgGX := in[0], sc[0], sc[1], sc[2], sc[3]
				xhat := g.mul(g.sub(in[1], mean), rstd)
				VFMSUB213PS(avgG, in[2], dy)
				g.subMul(dy, xhat, avgGX)
				return []vec{g.mul(dy, rstd)}
			}},
	}
}

func adamW() kernel {
	return kernel{name: "adamw", doc: "is one AdamW step.",
		sig:     "func(w, m, v, g []float32, gradScale, decay, b1, c1, b2, c2, sqrtBias2, eps, negStep float32)",
		loads:   []string{"w", "m", "v", "g"},
		stores:  []string{"w", "m", "v"},
		scalars: []string{"gradScale", "decay", "b1", "c1", "b2", "c2", "sqrtBias2", "eps", "negStep"},
		unroll:  1,
		body: func(g *gen, in, sc, _ []vec) []vec {
			gradScale, decay, b1, c1, b2, c2 := sc[0], sc[1], sc[2], sc[3], sc[4], sc[5]
			sqrtBias2, eps, negStep := sc[6], sc[7], sc[8]
			grad := g.mul(in[3], gradScale)
			m := g.mul(in[1], b1)
			g.addMul(m, grad, c1)
			v := g.mul(in[2], b2)
			g.addMul(v, g.mul(grad, c2), grad)
			den := g.add(g.div(g.sqrt(v), sqrtBias2), eps)
			w := g.add(g.mul(in[0], decay), g.div(g.mul(m, negStep), den))
			return []vec{w, m, v}
		}}
}
