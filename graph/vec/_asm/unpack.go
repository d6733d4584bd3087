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
		{name: "unpack8", doc: "computes dst = (q-zero)·scale for signed bytes q.", sig: sig,
			custom: func(g *gen) { g.unpack(8, g.bytes) }},
		{name: "unpack4", doc: "computes dst = (q-zero)·scale for 4-bit codes q, the first in the low half of a byte.",
			sig:    sig,
			custom: func(g *gen) { g.unpack(4, g.nibbles) }},
		{name: "unpack2", doc: "computes dst = (q-zero)·scale for 2-bit codes q, the first in the lowest bits of a byte.",
			sig:    sig,
			custom: func(g *gen) { g.unpack(2, g.crumbs) }},
	}
}

// unpackUnroll is the number of blocks of the main loop's iterations: 64 weights, a usual INT4 group.
const unpackUnroll = 4

// unpack is the loop over blocks; spread puts the codes of the block that begins at a byte into the 32-bit lanes of
// registers.
func (g *gen) unpack(bits int, spread func(codes reg.Register, at int) []vec) {
	dst := Load(Param("dst").Base(), GP64())
	n := Load(Param("dst").Len(), GP64())
	codes := Load(Param("codes").Base(), GP64())
	zero, scale, mask := g.vec(), g.vec(), g.vec()
	VBROADCASTSS(param("zero"), zero)
	VBROADCASTSS(param("scale"), scale)
	if bits < 8 {
		VBROADCASTSS(g.mem(konst(1<<bits-1)), mask)
	}
	block := func(u int) {
		for i, v := range spread(codes, u*unpackBlock*bits/8) {
			switch {
			case bits == 8: // alone in its lane, with its sign
			case g.avx512:
				VPANDD(mask, v, v)
			default:
				VPAND(mask, v, v)
			}
			VCVTDQ2PS(v, v)
			VSUBPS(zero, v, v)
			VMULPS(scale, v, v)
			VMOVUPS(v, Mem{Base: dst, Disp: 4 * (unpackBlock*u + g.width*i)})
		}
	}
	loop := func(name string, blocks int) {
		Label(name)
		SUBQ(U8(blocks*unpackBlock), n)
		JL(LabelRef(name + "done"))
		for u := range blocks {
			block(u)
		}
		ADDQ(I32(4*unpackBlock*blocks), dst)
		ADDQ(U8(blocks*unpackBlock*bits/8), codes)
		JMP(LabelRef(name))
		Label(name + "done")
		ADDQ(U8(blocks*unpackBlock), n)
	}
	loop("many", unpackUnroll)
	loop("one", 1)
	VZEROUPPER()
	RET()
}

// bytes widens each byte, with its sign, to 32 bits.
func (g *gen) bytes(codes reg.Register, at int) []vec {
	var lanes []vec
	for i := 0; i < unpackBlock; i += g.width {
		v := g.vec()
		VPMOVSXBD(Mem{Base: codes, Disp: at + i}, v)
		lanes = append(lanes, v)
	}
	return lanes
}

// nibbles widens each byte to 64 bits and brings its upper half to bit 32.
func (g *gen) nibbles(codes reg.Register, at int) []vec {
	var lanes []vec
	for i := 0; i < unpackBlock/2; i += g.width / 2 {
		low, high := g.vec(), g.vec()
		VPMOVZXBQ(Mem{Base: codes, Disp: at + i}, low)
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
func (g *gen) crumbs(codes reg.Register, at int) []vec {
	var lanes []vec
	for i := 0; i < unpackBlock; i += g.width {
		v, shifts := g.vec(), g.vec()
		VPBROADCASTD(Mem{Base: codes, Disp: at}, v)
		VMOVUPS(NewDataAddr(Symbol{Name: shiftSymbol, Static: true}, 4*i), shifts)
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
