package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type instr func(ops ...Op)

// apply emits op with v as its first operand (Intel's last source), which is the
// one that may come from memory.
func (g *gen) apply(op, bcst instr, v val, rest ...Op) {
	c, isConst := v.(konst)
	if !isConst {
		op(append([]Op{v.(Op)}, rest...)...)
		return
	}
	if r, ok := g.hoisted[c]; ok {
		op(append([]Op{r}, rest...)...)
		return
	}
	if g.avx512 {
		op = bcst
	}
	op(append([]Op{g.mem(c)}, rest...)...)
}

// reg returns a register holding v, loading a constant if it has none. The
// register must not be changed.
func (g *gen) reg(v val) vec {
	c, isConst := v.(konst)
	if !isConst {
		return v.(vec)
	}
	if r, ok := g.hoisted[c]; ok {
		return r
	}
	return g.copy(c)
}

// copy returns a fresh register holding v.
func (g *gen) copy(v val) vec {
	t := g.vec()
	c, isConst := v.(konst)
	if isConst {
		if r, ok := g.hoisted[c]; ok {
			VMOVAPS(r, t)
		} else if c == 0 {
			VXORPS(t, t, t)
		} else {
			VBROADCASTSS(g.mem(c), t)
		}
		return t
	}
	VMOVAPS(v.(vec), t)
	return t
}

func (g *gen) bin(op, bcst instr, b val, a vec) vec {
	t := g.vec()
	g.apply(op, bcst, b, a, t)
	return t
}

func (g *gen) add(a vec, b val) vec { return g.bin(VADDPS, VADDPS_BCST, b, a) }
func (g *gen) sub(a vec, b val) vec { return g.bin(VSUBPS, VSUBPS_BCST, b, a) }
func (g *gen) mul(a vec, b val) vec { return g.bin(VMULPS, VMULPS_BCST, b, a) }
func (g *gen) div(a vec, b val) vec { return g.bin(VDIVPS, VDIVPS_BCST, b, a) }
func (g *gen) and(a vec, b val) vec { return g.bin(VANDPS, VANDPS_BCST, b, a) }
func (g *gen) or(a vec, b val) vec  { return g.bin(VORPS, VORPS_BCST, b, a) }
func (g *gen) xor(a vec, b val) vec { return g.bin(VXORPS, VXORPS_BCST, b, a) }

func (g *gen) sqrt(a vec) vec {
	t := g.vec()
	VSQRTPS(a, t)
	return t
}

// MAXPS and MINPS return their last source if either is NaN, so x comes last:
// max(x, c) keeps a NaN in x.
func (g *gen) max(x vec, c val) vec {
	t := g.vec()
	VMAXPS(x, g.reg(c), t)
	return t
}

func (g *gen) min(x vec, c val) vec {
	t := g.vec()
	VMINPS(x, g.reg(c), t)
	return t
}

// fma computes acc = acc·b + c.
func (g *gen) fma(acc, b vec, c val) { g.apply(VFMADD213PS, VFMADD213PS_BCST, c, b, acc) }

// addMul computes acc += a·b.
func (g *gen) addMul(acc, a vec, b val) { g.apply(VFMADD231PS, VFMADD231PS_BCST, b, a, acc) }

// subMul computes acc -= a·b.
func (g *gen) subMul(acc, a vec, b val) { g.apply(VFNMADD231PS, VFNMADD231PS_BCST, b, a, acc) }

// horner evaluates a polynomial, highest coefficient first.
func (g *gen) horner(x vec, coef ...konst) vec {
	p := g.copy(coef[0])
	for _, c := range coef[1:] {
		g.fma(p, x, c)
	}
	return p
}

// Comparison predicates of VCMPPS.
const (
	cmpNotLess = 5  // not less than, true for NaN
	cmpGreater = 30 // greater than, false for NaN
)

// compare gives an opmask (AVX-512) or a vector of all-ones lanes (AVX2).
func (g *gen) compare(a vec, predicate uint64, b val) reg.Register {
	if g.avx512 {
		k := K()
		g.apply(func(ops ...Op) { VCMPPS(append([]Op{Imm(predicate)}, ops...)...) },
			func(ops ...Op) { VCMPPS_BCST(append([]Op{Imm(predicate)}, ops...)...) }, b, a, k)
		return k
	}
	t := YMM()
	g.apply(func(ops ...Op) { VCMPPS(append([]Op{Imm(predicate)}, ops...)...) }, nil, b, a, t)
	return t
}

// keep returns v where the mask is set and 0 elsewhere.
func (g *gen) keep(mask reg.Register, v vec) vec {
	t := g.vec()
	if g.avx512 {
		VMOVAPS_Z(v, mask, t)
	} else {
		VANDPS(v, mask, t)
	}
	return t
}

// keepTail zeroes the lanes past the end.
func (g *gen) keepTail(v vec) vec {
	if !g.tail {
		return v
	}
	return g.keep(g.mask, v)
}

// ifNegative returns a where the sign bit of x is set, b elsewhere.
func (g *gen) ifNegative(x, a, b vec) vec {
	t := g.vec()
	if g.avx512 {
		k := K()
		VPMOVD2M(x, k)
		VBLENDMPS(a, b, k, t)
	} else {
		VBLENDVPS(x, a, b, t)
	}
	return t
}

// reciprocal computes 1/d for d well inside the normal range: an estimate of 14
// bits and one Newton step on AVX-512, whose divider is slow at 512 bits.
func (g *gen) reciprocal(d vec) vec {
	if !g.avx512 {
		return g.div(g.reg(one), d)
	}
	r := g.vec()
	VRCP14PS(d, r)
	e := g.copy(one)
	g.subMul(e, d, r)
	g.addMul(r, r, e)
	return r
}

// reduce folds the lanes of a and returns a register with the result in lane 0.
func (g *gen) reduce(a vec, op instr) reg.Register {
	y := a.AsY()
	if g.avx512 {
		h := YMM()
		VEXTRACTF64X4(Imm(1), a, h)
		t := YMM()
		op(h, y, t)
		y = t.AsY()
	}
	h, t := XMM(), XMM()
	VEXTRACTF128(Imm(1), y, h)
	op(h, y.(reg.Vec).AsX(), t)
	for _, swap := range []uint64{0x4e, 0xb1} {
		s, r := XMM(), XMM()
		VPERMILPS(Imm(swap), t, s)
		op(s, t, r)
		t = r
	}
	return t
}

// fold combines accumulator i of all copies, pairwise.
func fold(g *gen, acc [][]vec, i int, op instr) vec {
	var vs []vec
	for _, a := range acc {
		vs = append(vs, a[i])
	}
	for len(vs) > 1 {
		var next []vec
		for j := 0; j+1 < len(vs); j += 2 {
			t := g.vec()
			op(vs[j+1], vs[j], t)
			next = append(next, t)
		}
		if len(vs)%2 == 1 {
			next = append(next, vs[len(vs)-1])
		}
		vs = next
	}
	return vs[0]
}

// storeReduced returns a finish that reduces each accumulator to a float32.
func storeReduced(op instr) func(g *gen, acc [][]vec) {
	return func(g *gen, acc [][]vec) {
		for i := range acc[0] {
			VMOVSS(g.reduce(fold(g, acc, i, op), op), result(i))
		}
	}
}
