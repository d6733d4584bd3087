package graph

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// LinearPacked is Linear with a packed weight [O, I]: y = act(x Ŵᵀ + b) for x [..., I], b [O] (nil: none), the result
// [..., O]. The weight is unpacked a tile of rows at a time, inside the kernel; it has no gradient.
func LinearPacked(g *Graph, x *Node, w *PackedMatrix, b *Node, act Activation) *Node {
	if w == nil {
		Fail("graph: linear: missing packed weight")
	}
	k := linearPacked{w: w, act: act, bias: b != nil}
	if b == nil {
		return Apply(g, k, x)
	}
	return Apply(g, k, x, b)
}

type linearPacked struct {
	w    *PackedMatrix
	act  Activation
	bias bool
}

func (l linearPacked) String() string {
	return fmt.Sprintf("linear(%v act=%s bias=%t)", l.w, l.act, l.bias)
}

func (l linearPacked) Plan(in []Spec) (Plan, error) {
	if len(l.w.shape) != 2 {
		return Plan{}, fmt.Errorf("got packed weight %v, want [out, in]", l.w.shape)
	}
	if x := in[0]; x.Ints || len(x.Shape) == 0 || lastDim(x) != l.w.cols {
		return Plan{},
			fmt.Errorf("got input %v and packed weight %v, want the last dimension of the input to be that of the weight",
				x.Shape, l.w.shape)
	}
	if l.bias {
		if err := wantShape("bias", in[1], l.w.rows); err != nil {
			return Plan{}, err
		}
	}
	return Plan{Out: withLast(in[0], l.w.rows)}, nil
}

// packedRows are the weight rows, at most, that are unpacked at a time where there is no assembly for panels.
const packedRows = 96

func (l linearPacked) Forward(c *Call) {
	x, m, n, k := c.In[0], c.In[0].Rows(), l.w.rows, l.w.cols
	var bias []float32
	if l.bias {
		bias = c.In[1].F
	}
	if byPanels(m, n) && l.w.Panels() {
		panelProduct{x: x.F, y: c.Out.F, bias: bias, m: m, n: n, k: k, act: l.act, panel: l.w.Panel}.run()
		return
	}
	ParallelScratch(tiles(n, packedRows), packedRows*k, func(i int, w []float32) {
		from, to := tile(i, packedRows, n)
		l.w.Rows(w, from, to)
		beta := float32(0)
		if l.bias {
			beta = 1
			for r := range m {
				copy(c.Out.F[r*n+from:r*n+to], bias[from:to])
			}
		}
		blas.Gemm(false, true, m, to-from, k, 1, x.F, k, w, k, beta, c.Out.F[from:], n)
		if l.act != Identity {
			for r := range m {
				y := c.Out.F[r*n+from : r*n+to]
				l.act.apply(y, y)
			}
		}
	})
}

// EmbedPacked is Embed with packed token embeddings [V, D] and position embeddings [1, M, D]; only the rows that are
// looked up are unpacked.
func EmbedPacked(g *Graph, ids *Node, tokens, positions *PackedMatrix) *Node {
	return Apply(g, newEmbedPacked(tokens, positions), ids)
}

// EmbedAtPacked is EmbedAt with packed embeddings, as EmbedPacked is Embed.
func EmbedAtPacked(g *Graph, ids, at *Node, tokens, positions *PackedMatrix) *Node {
	return Apply(g, embedAtPacked{newEmbedPacked(tokens, positions)}, ids, at)
}

type embedPacked struct{ tokens, positions *PackedMatrix }

func newEmbedPacked(tokens, positions *PackedMatrix) embedPacked {
	if tokens == nil || positions == nil {
		Fail("graph: embed: missing packed weight")
	}
	return embedPacked{tokens, positions}
}

func (e embedPacked) String() string { return fmt.Sprintf("embed(%v, %v)", e.tokens, e.positions) }

func (e embedPacked) Plan(in []Spec) (Plan, error) {
	w, p := e.specs()
	plan, err := embed{}.Plan([]Spec{in[0], w, p})
	return e.plan(plan.Out, err)
}

// specs are the tables' shapes.
func (e embedPacked) specs() (tokens, positions Spec) {
	return Spec{Shape: e.tokens.shape}, Spec{Shape: e.positions.shape}
}

// plan is that of the result out of tables whose shapes fit each other, if there is no error. A packed matrix has the
// columns that its last dimensions make.
func (e embedPacked) plan(out Spec, err error) (Plan, error) {
	if p := e.positions; err == nil && (p.shape[0] != 1 || p.cols != e.tokens.cols) {
		err = fmt.Errorf("got positions %v, want [1, M, D]", p.shape)
	}
	return Plan{Out: out}, err
}

func (e embedPacked) Forward(c *Call) {
	t := c.Out.Dim(1)
	e.embed(c, func(r int) int { return r % t })
}

// embed adds to each token's row that of the position which the token r of all has.
func (e embedPacked) embed(c *Call, at func(r int) int) {
	d, ids := c.Out.Dim(2), c.In[0].I
	checkIDs(ids, c.Out.Dim(1), e.tokens.rows)
	ParallelScratch(tiles(len(ids), rowTile), d, func(i int, row []float32) {
		a, b := tile(i, rowTile, len(ids))
		for r := a; r < b; r++ {
			x := c.Out.F[r*d : (r+1)*d]
			e.tokens.Rows(x, int(ids[r]), int(ids[r])+1)
			e.positions.Rows(row, at(r), at(r)+1)
			vec.AddTo(x, row)
		}
	})
}

type embedAtPacked struct{ embedPacked }

func (e embedAtPacked) String() string { return fmt.Sprintf("embedat(%v, %v)", e.tokens, e.positions) }

func (e embedAtPacked) Plan(in []Spec) (Plan, error) {
	w, p := e.specs()
	return e.plan(lookedUpAt(in[0], in[1], w, p))
}

func (e embedAtPacked) Forward(c *Call) {
	at := c.In[1].I
	checkPositions(at, c.Out.Dim(1), e.positions.shape[1])
	e.embed(c, func(r int) int { return int(at[r]) })
}

// GatedConvPacked is GatedConv with a packed weight [D, 1, K].
func GatedConvPacked(g *Graph, n, gate *Node, w *PackedMatrix, b *Node) *Node {
	if w == nil {
		Fail("graph: gatedconv: missing packed weight")
	}
	return Apply(g, gatedConvPacked{w}, n, gate, b)
}

type gatedConvPacked struct{ w *PackedMatrix }

func (k gatedConvPacked) String() string { return fmt.Sprintf("gatedconv(%v)", k.w) }

func (k gatedConvPacked) Plan(in []Spec) (Plan, error) {
	p, err := gatedConv{}.Plan([]Spec{in[0], in[1], {Shape: k.w.shape}, in[2]})
	return Plan{Out: p.Out}, err
}

// Forward unpacks the few taps of the convolution (9 a channel) into the order in which they are used.
func (k gatedConvPacked) Forward(c *Call) {
	d, width := k.w.rows, k.w.cols
	gatedConvForward(c.Out, c.In[0].F, c.In[1].F, c.In[2].F, width, func(dst []float32) {
		row := make([]float32, width)
		for j := range d {
			k.w.Rows(row, j, j+1)
			for i, v := range row {
				dst[i*d+j] = v
			}
		}
	})
}
