package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

const (
	zero     = konst(0)
	signBit  = konst(1 << 31)
	absMask  = konst(1<<31 - 1)
	expTwo23 = 12582912 // 1.5·2^23: adding it rounds to an integer
)

var (
	one    = f32(1)
	half   = f32(0.5)
	inf    = f32(math.Inf(1))
	negInf = f32(math.Inf(-1))

	// The limits of package vec: see expLo, expHi and linearBound there.
	expLo     = f32(-87.33654)
	expHi     = f32(88.72283)
	linearMin = f32(-104)
	linearMax = f32(104)

	expClamp = f32(89) // e^89 overflows, and 2^n·p stays representable before
	log2e    = f32(math.Log2E)
	magic    = f32(expTwo23)
	ln2Hi    = f32(math.Ln2)
	ln2Lo    = f32(math.Ln2 - float64(float32(math.Ln2)))

	// e^r on |r| <= ln2/2 to 3.1e-9, highest power first; see fit.
	expCoef = []konst{
		f32(0.001381461319), f32(0.008368709823), f32(0.04166838736),
		f32(0.1666652069), f32(0.4999999345), one, one,
	}

	// Φ(-a)·e^(a²/2)/t, t = 1/(1+tailC·a), 0 <= a <= tailMax, to 2.4e-8,
	// highest power first; see fit.
	tailC    = f32(0.27)
	tailMax  = f32(14)
	tailCoef = []konst{
		f32(0.02891527375), f32(-0.1262552591), f32(0.1692913861),
		f32(-0.06862094457), f32(0.1073993998), f32(0.07224030773),
		f32(0.1017591599), f32(0.1075505073), f32(0.107720181),
	}
	invSqrt2Pi = f32(0.39894228040143267794)

	expHoist = append([]konst{expLo, expClamp, log2e, magic, ln2Hi, ln2Lo}, expCoef[:6]...)
)

// exp computes e^x by Cody-Waite reduction x = n·ln2 + r, |r| <= ln2/2, and a
// polynomial in r. With FMA the product n·ln2Hi is not rounded, so ln2Hi needs
// no trailing zeros. If bounded, x is known not to exceed expHi.
func (g *gen) exp(x vec, bounded bool) vec {
	if g.avx512 {
		return g.exp512(x, bounded)
	}
	return g.exp256(x, bounded)
}

// exp512 scales by VSCALEFPS, which overflows to +Inf by itself; what lies under
// expLo is dropped by the instruction's zeroing mask, whatever came out.
func (g *gen) exp512(x vec, bounded bool) vec {
	keep := g.compare(x, cmpNotLess, expLo)
	if !bounded {
		x = g.min(x, expClamp)
	}
	n := g.copy(magic)
	g.addMul(n, x, log2e)
	n = g.sub(n, magic)
	p := g.horner(g.reduced(x, n), expCoef...)
	t := g.vec()
	VSCALEFPS_Z(n, p, keep, t)
	return t
}

// exp256 adds n to the exponent bits, which is exact between expLo and expHi;
// outside, whatever came out is replaced. A NaN converts to an n whose low bits
// are 0, so the NaN in p stays as it is.
func (g *gen) exp256(x vec, bounded bool) vec {
	k, n := g.vec(), g.vec()
	VCVTPS2DQ(g.mul(x, log2e), k)
	VCVTDQ2PS(k, n)
	p := g.horner(g.reduced(x, n), expCoef...)
	VPSLLD(Imm(23), k, k)
	VPADDD(k, p, p)
	if !bounded {
		t := g.vec()
		VBLENDVPS(g.compare(x, cmpGreater, expHi), g.mem(inf), p, t)
		p = t
	}
	return g.keep(g.compare(x, cmpNotLess, expLo), p)
}

func (g *gen) reduced(x, n vec) vec {
	r := g.copy(x)
	g.subMul(r, n, ln2Hi)
	g.subMul(r, n, ln2Lo)
	return r
}

// logistic computes σ(x) and σ(-x) from e = e^-|x|, so that neither overflows
// nor cancels.
func (g *gen) logistic(x vec) (s, c vec) {
	e := g.exp(g.or(x, signBit), true)
	r := g.reciprocal(g.add(e, one))
	er := g.mul(e, r)
	return g.ifNegative(x, er, r), g.ifNegative(x, r, er)
}

// normalTail computes a = min(|x|, tailMax), q = Φ(-a) and e = e^(-a²/2).
func (g *gen) normalTail(x vec) (a, q, e vec) {
	a = g.min(g.and(x, absMask), tailMax)
	e = g.exp(g.mul(g.mul(a, f32(-0.5)), a), true)
	d := g.copy(one)
	g.addMul(d, a, tailC)
	t := g.reciprocal(d)
	q = g.mul(g.mul(g.horner(t, tailCoef...), t), e)
	return a, q, e
}
