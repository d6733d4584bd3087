package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A vec is one register of g.width float32 lanes.
type vec = reg.VecVirtual

// A konst is the bit pattern of a float32 constant. It stays in memory unless
// the kernel lists it in hoist.
type konst uint32

func f32(x float64) konst { return konst(math.Float32bits(float32(x))) }

// A val is a vec or a konst.
type val any

// A kernel is a loop over slices of equal length: the slices in loads are read,
// body computes the vectors to write to the slices in stores, and acc carries
// sums from iteration to iteration.
type kernel struct {
	name    string
	sig     string
	doc     string
	loads   []string
	stores  []string
	scalars []string // float32 parameters, broadcast
	unroll  int      // copies of body in the main loop, each with its own accumulators
	hoist   []konst  // constants kept in registers where there are enough (AVX-512)
	accs    int      // accumulators per copy
	accInit konst
	body    func(g *gen, in, sc, acc []vec) []vec
	finish  func(g *gen, acc [][]vec) // stores the results
	custom  func(g *gen)              // if set, writes the whole function instead
}

// gen emits kernels for one instruction set.
type gen struct {
	avx512 bool
	width  int
	suffix string

	consts map[konst]int // byte offset in the constant table
	order  []konst

	hoisted map[konst]vec
	tail    bool         // emitting the masked iteration
	mask    reg.Register // its mask: an opmask (AVX-512) or a vector (AVX2)
}

const constSymbol, maskSymbol = "constants", "tailmask"

func (g *gen) vec() vec {
	if g.avx512 {
		return ZMM()
	}
	return YMM()
}

// mem is the place of c: 4 bytes to be broadcast by the instruction on AVX-512
// (a 64-byte row could straddle cache lines), a full row on AVX2.
func (g *gen) mem(c konst) Mem {
	off, ok := g.consts[c]
	if !ok {
		row := 4
		if !g.avx512 {
			row = 4 * g.width
		}
		off = row * len(g.order)
		g.consts[c] = off
		g.order = append(g.order, c)
	}
	return NewDataAddr(Symbol{Name: constSymbol, Static: true}, off)
}

// data writes the constant table, and for AVX2 the table whose window at 8-r
// masks the first r lanes.
func (g *gen) data() {
	GLOBL(constSymbol, attr.RODATA|attr.NOPTR)
	off := 0
	put := func(v uint32) {
		DATA(off, U32(v))
		off += 4
	}
	for _, c := range g.order {
		put(uint32(c))
		for i := 1; i < g.width && !g.avx512; i++ {
			put(uint32(c))
		}
	}
	if g.avx512 {
		return
	}
	GLOBL(maskSymbol, attr.RODATA|attr.NOPTR)
	off = 0
	for range g.width {
		put(math.MaxUint32)
	}
	for range g.width {
		put(0)
	}
}

func (g *gen) emit(k kernel) {
	TEXT(k.name+g.suffix, attr.NOSPLIT, k.sig)
	Pragma("noescape")
	Doc(k.name + g.suffix + " " + k.doc)
	if k.custom != nil {
		k.custom(g)
		return
	}

	ptr := map[string]reg.Register{}
	slices := append(append([]string{}, k.loads...), k.stores...)
	for _, s := range slices {
		if ptr[s] == nil {
			ptr[s] = Load(Param(s).Base(), GP64())
		}
	}
	n := Load(Param(slices[0]).Len(), GP64())
	idx := GP64()
	XORQ(idx, idx)

	sc := make([]vec, len(k.scalars))
	for i, s := range k.scalars {
		sc[i] = g.vec()
		VBROADCASTSS(param(s), sc[i])
	}
	g.hoisted = map[konst]vec{}
	if g.avx512 {
		for _, c := range k.hoist {
			g.hoisted[c] = g.reg(c)
		}
	}
	acc := make([][]vec, k.unroll)
	for u := range acc {
		for range k.accs {
			acc[u] = append(acc[u], g.copy(k.accInit))
		}
	}

	step := func(u int) {
		at := func(s string) Mem {
			return Mem{Base: ptr[s], Index: idx, Scale: 4, Disp: 4 * u * g.width}
		}
		in := make([]vec, len(k.loads))
		for i, s := range k.loads {
			in[i] = g.load(at(s))
		}
		out := k.body(g, in, sc, acc[u])
		for i, s := range k.stores {
			g.store(out[i], at(s))
		}
	}
	loop := func(label string, copies int) {
		end := GP64()
		MOVQ(n, end)
		ANDQ(I32(int32(-copies*g.width)), end)
		JMP(LabelRef(label + "_check"))
		Label(label)
		for u := range copies {
			step(u)
		}
		ADDQ(I32(int32(copies*g.width)), idx)
		Label(label + "_check")
		CMPQ(idx, end)
		JLT(LabelRef(label))
	}
	if k.unroll > 1 {
		loop("blocks", k.unroll)
	}
	loop("vectors", 1)

	SUBQ(idx, n)
	JZ(LabelRef("done"))
	g.setMask(n)
	g.tail = true
	step(0)
	g.tail = false
	Label("done")
	if k.finish != nil {
		k.finish(g, acc)
	}
	VZEROUPPER()
	RET()
}

// setMask selects the first r lanes, 0 < r < width.
func (g *gen) setMask(r reg.Register) {
	if g.avx512 {
		MOVQ(r, reg.RCX)
		bits, k := GP32(), K()
		MOVL(U32(1), bits)
		SHLL(reg.CL, bits)
		SUBL(Imm(1), bits)
		KMOVW(bits, k)
		g.mask = k
		return
	}
	table, m := GP64(), YMM()
	LEAQ(NewDataAddr(Symbol{Name: maskSymbol, Static: true}, 4*g.width), table)
	NEGQ(r)
	VMOVUPS(Mem{Base: table, Index: r, Scale: 4}, m)
	g.mask = m
}

// load reads a vector; lanes past the end are 0 and not read.
func (g *gen) load(m Mem) vec {
	v := g.vec()
	switch {
	case !g.tail:
		VMOVUPS(m, v)
	case g.avx512:
		VMOVUPS_Z(m, g.mask, v)
	default:
		VMASKMOVPS(m, g.mask, v)
	}
	return v
}

func (g *gen) store(v vec, m Mem) {
	switch {
	case !g.tail:
		VMOVUPS(v, m)
	case g.avx512:
		VMOVUPS(v, g.mask, m)
	default:
		VMASKMOVPS(v, g.mask, m)
	}
}

// fill replaces the lanes past the end by c.
func (g *gen) fill(v vec, c konst) vec {
	if !g.tail {
		return v
	}
	out := g.reg(c)
	if g.avx512 {
		t := g.copy(out)
		VMOVAPS(v, g.mask, t)
		return t
	}
	t := g.vec()
	VBLENDVPS(g.mask, v, out, t)
	return t
}

func param(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

func result(i int) Mem {
	b, err := ReturnIndex(i).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}
