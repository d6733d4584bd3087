package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const shiftSymbol = "unpackshifts"

// unpackBlock is the number of codes that one iteration unpacks; the caller does the rest.
const unpackBlock = 16

// unpackers are the kernels that turn integer codes into weights, (q - zero)·scale, in whole blocks of 16.
func unpackers() []kernel {
	const sig = "func(dst []float32, codes []byte, zero, scale float32)"
	return []kernel{
		{name: "unpack4", doc: "computes dst = (q-zero)·scale for 4-bit codes q, the first in the low half of a byte.", sig: sig,
			custom: func(g *gen) { g.unpack(4, g.nibbles) }},
		{name: "unpack2", doc: "computes dst = (q-zero)·scale for 2-bit codes q, the first in the lowest bits of a byte.", sig: sig,
			custom: func(g *gen) { g.unpack(2, g.crumbs) }},
	}
}

// unpack is the loop over blocks; spread puts the block's codes into the 32-bit lanes of registers.
func (g *gen) unpack(bits int, spread func(codes reg.Register) []vec) {
	dst := Load(Param("dst").Base(), GP64())
	n := Load(Param("dst").Len(), GP64())
	codes := Load(Param("codes").Base(), GP64())
	zero, scale, mask := g.vec(), g.vec(), g.vec()
	VBROADCASTSS(param("zero"), zero)
	VBROADCASTSS(param("scale"), scale)
	VBROADCASTSS(g.mem(konst(1<<bits-1)), mask)
	SHRQ(U8(4), n) // whole blocks
	JZ(LabelRef("done"))
	Label("block")
	for i, v := range spread(codes) {
		if g.avx512 {
			VPANDD(mask, v, v)
		} else {
			VPAND(mask, v, v)
		}
		VCVTDQ2PS(v, v)
		VSUBPS(zero, v, v)
		VMULPS(scale, v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: 4 * g.width * i})
	}
	ADDQ(U8(4*unpackBlock), dst)
	ADDQ(U8(unpackBlock*bits/8), codes)
	DECQ(n)
	JNZ(LabelRef("block"))
	Label("done")
	VZEROUPPER()
	RET()
}

// nibbles widens each byte to 64 bits and brings its upper half to bit 32.
func (g *gen) nibbles(codes reg.Register) []vec {
	var lanes []vec
	for at := 0; at < unpackBlock/2; at += g.width / 2 {
		low, high := g.vec(), g.vec()
		VPMOVZXBQ(Mem{Base: codes, Disp: at}, low)
		VPSLLQ(U8(28), low, high)
		if g.avx512 {
			VPORQ(low, high, high)
		} else {
			VPOR(low, high, high)
		}
		lanes = append(lanes, high)
	}
	return lanes
}

// crumbs shifts a copy of the block's four bytes for each lane.
func (g *gen) crumbs(codes reg.Register) []vec {
	var lanes []vec
	for at := 0; at < unpackBlock; at += g.width {
		v := g.vec()
		VPBROADCASTD(Mem{Base: codes}, v)
		shifts := g.vec()
		VMOVUPS(NewDataAddr(Symbol{Name: shiftSymbol, Static: true}, 4*at), shifts)
		VPSRLVD(shifts, v, v)
		lanes = append(lanes, v)
	}
	return lanes
}

// shifts writes the table that crumbs reads.
func (g *gen) shifts() {
	GLOBL(shiftSymbol, attr.RODATA|attr.NOPTR)
	for i := range unpackBlock {
		DATA(4*i, U32(2*i))
	}
}
