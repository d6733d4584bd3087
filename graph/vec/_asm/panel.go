package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// panels are the kernels of products with a panel: rows of 2 registers each.
func panels() []kernel {
	const unpackSig = "func(dst []float32, codes []byte, offsets []int32, zeros, scales []float32, words, stride int)"
	const mulSig = "func(c, a, b, bias []float32, k, lda, ldc int)"
	const addSig = "func(c, a, b []float32, k, lda, ldc int)"
	var ks []kernel
	for _, bits := range []int{8, 4, 2} {
		ks = append(ks, kernel{name: fmt.Sprintf("panelUnpack%d", bits), sig: unpackSig,
			doc: fmt.Sprintf("unpacks the %d-bit codes of words times 32 bits of as many rows as a register has lanes.",
				bits),
			custom: func(g *gen) { g.panelUnpack(bits) }})
	}
	ks = append(ks, kernel{name: "panelPack", sig: "func(dst, w []float32, offsets []int32, k, stride int)",
		doc:    "gathers one column after the other of as many rows as a register has lanes.",
		custom: (*gen).panelPack})
	for _, p := range []panelProduct{
		{name: "panelMul", sig: mulSig, doc: "computes c = a·b + bias for a block of rows and one panel."},
		{name: "panelAdd", sig: addSig, doc: "adds a·b to c for a block of rows and one panel.", adds: true},
		{name: "panelAddT", sig: addSig, doc: "adds aᵀ·b to c for a block of a's columns and one panel.", adds: true,
			transposed: true},
	} {
		for _, rows := range []string{"Many", "Four", "One"} {
			ks = append(ks, kernel{name: p.name + rows, sig: p.sig, doc: p.doc, custom: func(g *gen) {
				p.emit(g, map[string]int{"Many": g.panelRows(), "Four": 4, "One": 1}[rows])
			}})
		}
	}
	return ks
}

// panelRows are the rows of the largest block, whose sums fill the registers but for the weights and one broadcast.
func (g *gen) panelRows() int {
	if g.avx512 {
		return 12
	}
	return 6
}

// panelUnpack gathers 32 bits of each row, the codes of several columns, and writes (q - zero)·scale column by column.
func (g *gen) panelUnpack(bits int) {
	dst := Load(Param("dst").Base(), GP64())
	codes := Load(Param("codes").Base(), GP64())
	offsets, zeros, scales, mask := g.vec(), g.vec(), g.vec(), g.vec()
	VMOVUPS(Mem{Base: Load(Param("offsets").Base(), GP64())}, offsets)
	VMOVUPS(Mem{Base: Load(Param("zeros").Base(), GP64())}, zeros)
	VMOVUPS(Mem{Base: Load(Param("scales").Base(), GP64())}, scales)
	if bits < 8 {
		VBROADCASTSS(g.mem(konst(1<<bits-1)), mask)
	}
	words := Load(Param("words"), GP64())
	stride := Load(Param("stride"), GP64())
	SHLQ(U8(2), stride)
	Label("words")
	DECQ(words)
	JL(LabelRef("done"))
	w := g.vec()
	at := Mem{Base: codes, Index: offsets, Scale: 1}
	if g.avx512 {
		k := K()
		KXNORW(k, k, k)
		VPXORD(w, w, w)
		VPGATHERDD(at, k, w)
	} else {
		all := YMM()
		VPCMPEQD(all, all, all)
		VPXOR(w, w, w)
		VPGATHERDD(all, at, w)
	}
	for i := range 32 / bits {
		v := g.vec()
		switch {
		case bits == 8: // two's complement
			VPSLLD(U8(24-8*i), w, v)
			VPSRAD(U8(24), v, v)
		case g.avx512:
			VPSRLD(U8(bits*i), w, v)
			VPANDD(mask, v, v)
		default:
			VPSRLD(U8(bits*i), w, v)
			VPAND(mask, v, v)
		}
		VCVTDQ2PS(v, v)
		VSUBPS(zeros, v, v)
		VMULPS(scales, v, v)
		VMOVUPS(v, Mem{Base: dst})
		ADDQ(stride, dst)
	}
	ADDQ(U8(4), codes)
	JMP(LabelRef("words"))
	Label("done")
	VZEROUPPER()
	RET()
}

// panelPack gathers a column of the rows at a time.
func (g *gen) panelPack() {
	dst := Load(Param("dst").Base(), GP64())
	w := Load(Param("w").Base(), GP64())
	offsets := g.vec()
	VMOVUPS(Mem{Base: Load(Param("offsets").Base(), GP64())}, offsets)
	k := Load(Param("k"), GP64())
	stride := Load(Param("stride"), GP64())
	SHLQ(U8(2), stride)
	Label("columns")
	DECQ(k)
	JL(LabelRef("done"))
	v, at := g.vec(), Mem{Base: w, Index: offsets, Scale: 4}
	if g.avx512 {
		all := K()
		KXNORW(all, all, all)
		VPXORD(v, v, v) // for the processor not to wait for its former value
		VGATHERDPS(at, all, v)
	} else {
		all := YMM()
		VPCMPEQD(all, all, all)
		VPXOR(v, v, v)
		VGATHERDPS(all, at, v)
	}
	VMOVUPS(v, Mem{Base: dst})
	ADDQ(stride, dst)
	ADDQ(U8(4), w)
	JMP(LabelRef("columns"))
	Label("done")
	VZEROUPPER()
	RET()
}

// panelProduct is a kernel that multiplies with a panel.
type panelProduct struct {
	name, sig, doc string
	adds           bool // to c, which has no bias then
	transposed     bool // a is [k, rows]
}

// emit keeps the sums of rows × 2 registers and walks along k.
func (p panelProduct) emit(g *gen, rows int) {
	const unroll = 4
	b := Load(Param("b").Base(), GP64())
	k := Load(Param("k"), GP64())
	lda := Load(Param("lda"), GP64())
	SHLQ(U8(2), lda)
	a, walk := p.rowsOfA(rows, lda)
	acc := make([][2]vec, rows)
	for r := range acc {
		for i := range acc[r] {
			acc[r][i] = g.vec()
		}
	}
	c := Load(Param("c").Base(), GP64())
	ldc := Load(Param("ldc"), GP64())
	SHLQ(U8(2), ldc)
	if p.adds {
		at := GP64()
		MOVQ(c, at)
		for r := range acc {
			for i := range acc[r] {
				VMOVUPS(Mem{Base: at, Disp: 4 * g.width * i}, acc[r][i])
			}
			if r+1 < rows {
				ADDQ(ldc, at)
			}
		}
	} else {
		bias := Load(Param("bias").Base(), GP64())
		for r := range acc {
			for i := range acc[r] {
				if r == 0 {
					VMOVUPS(Mem{Base: bias, Disp: 4 * g.width * i}, acc[r][i])
				} else {
					VMOVAPS(acc[0][i], acc[r][i])
				}
			}
		}
	}
	step := func(u int) {
		w := [2]vec{g.vec(), g.vec()}
		for i := range w {
			VMOVUPS(Mem{Base: b, Disp: 4 * g.width * (2*u + i)}, w[i])
		}
		for r := range rows {
			x := g.vec()
			VBROADCASTSS(a(r, u), x)
			VFMADD231PS(x, w[0], acc[r][0])
			VFMADD231PS(x, w[1], acc[r][1])
		}
	}
	loop := func(label string, steps int) {
		Label(label)
		SUBQ(U8(steps), k)
		JL(LabelRef(label + "done"))
		for u := range steps {
			step(u)
		}
		walk(steps)
		ADDQ(I32(int32(8*g.width*steps)), b)
		JMP(LabelRef(label))
		Label(label + "done")
		ADDQ(U8(steps), k)
	}
	loop("four", unroll)
	loop("one", 1)
	for r := range acc {
		for i := range acc[r] {
			VMOVUPS(acc[r][i], Mem{Base: c, Disp: 4 * g.width * i})
		}
		if r+1 < rows {
			ADDQ(ldc, c)
		}
	}
	VZEROUPPER()
	RET()
}

// rowsOfA gives the place of the element of row r at step u from where the walk along k is, and what walks on by steps.
// Rows lie lda bytes apart; those of a transposed a side by side, and its steps lda bytes apart.
func (p panelProduct) rowsOfA(rows int, lda reg.Register) (at func(r, u int) Mem, walk func(steps int)) {
	first := Load(Param("a").Base(), GP64())
	if p.transposed {
		third := GP64() // step 3 from first on, which no scale reaches
		LEAQ(Mem{Base: first, Index: lda, Scale: 2}, third)
		ADDQ(lda, third)
		at = func(r, u int) Mem {
			if u == 3 {
				return Mem{Base: third, Disp: 4 * r}
			}
			m := Mem{Base: first, Disp: 4 * r}
			if u > 0 {
				m.Index, m.Scale = lda, uint8(u)
			}
			return m
		}
		return at, func(steps int) {
			if steps == 1 {
				ADDQ(lda, first)
				return
			}
			LEAQ(Mem{Base: first, Index: lda, Scale: 4}, first)
			LEAQ(Mem{Base: third, Index: lda, Scale: 4}, third)
		}
	}
	// A pointer for every third row: the two after it are reached by the scale of an address.
	bases := []reg.Register{first}
	for r := 3; r < rows; r += 3 {
		p := GP64()
		LEAQ(Mem{Base: bases[len(bases)-1], Index: lda, Scale: 2}, p)
		ADDQ(lda, p)
		bases = append(bases, p)
	}
	at = func(r, u int) Mem {
		m := Mem{Base: bases[r/3], Disp: 4 * u}
		if r%3 > 0 {
			m.Index, m.Scale = lda, uint8(r%3)
		}
		return m
	}
	return at, func(steps int) {
		for _, p := range bases {
			ADDQ(U8(4*steps), p)
		}
	}
}
