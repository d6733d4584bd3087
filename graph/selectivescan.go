package graph

import (
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// SelectiveScan is the state space model of Mamba-2 (Dao and Gu, "Transformers are SSMs", 2024), with H heads of width
// P and a state of N × P a head, from S[-1] = 0. Per head h, with x[t] [P] its part of the input,
//
//	Δ[t] = softplus(dt[t,h] + dtBias[h]), a[t] = -exp(aLog[h]) Δ[t]
//	S[t] = exp(a[t]) S[t-1] + Δ[t] B[t] ⊗ x[t]
//	y[t] = C[t]ᵀ S[t] + skip[h] x[t].
//
// xbc [B, T, H·P + 2N] holds x of all heads and B and C, which the heads share, side by side; dt is [B, T, H]; dtBias,
// aLog and skip are [H]; N is `state`. The result is [B, T, H·P].
//
// It is computed in chunks of 64 tokens by matrix products (the paper's section 6): with s[i] the sum of a over a
// chunk's tokens up to i, and S the state before the chunk,
//
//	y[i] = Σ_{j≤i} exp(s[i]-s[j]) (C[i]·B[j]) Δ[j] x[j] + exp(s[i]) C[i]ᵀ S + skip x[i]
//	S ← exp(s[last]) S + Σ_j exp(s[last]-s[j]) Δ[j] B[j] ⊗ x[j].
//
// For the backward pass only those states are kept; everything else of a chunk is computed again. The gradient is
// exact: that of these two lines, from the last chunk to the first.
func SelectiveScan(g *Graph, xbc, dt, dtBias, aLog, skip *Node, state int) *Node {
	return Apply(g, selectiveScan{state}, xbc, dt, dtBias, aLog, skip)
}

// scanChunk is the number of tokens in a chunk: about as many as make the products within it cost what those with the
// state do.
const scanChunk = 64

type selectiveScan struct{ state int }

func (o selectiveScan) String() string { return fmt.Sprintf("selectivescan(state=%d)", o.state) }

func (o selectiveScan) Plan(in []Spec) (Plan, error) {
	xbc, dt := in[0], in[1]
	if err := wantDims("x, B and C", xbc, 3, "[B, T, H·P+2N]"); err != nil {
		return Plan{}, err
	}
	if err := wantDims("dt", dt, 3, "[B, T, H]"); err != nil {
		return Plan{}, err
	}
	b, t, h := xbc.Shape[0], xbc.Shape[1], dt.Shape[2]
	if dt.Shape[0] != b || dt.Shape[1] != t {
		return Plan{}, fmt.Errorf("got dt %v, want [%d, %d, H]", dt.Shape, b, t)
	}
	inner := lastDim(xbc) - 2*o.state
	if o.state < 1 || inner < 1 || inner%h != 0 {
		return Plan{}, fmt.Errorf("got x, B and C %v with a state of %d and %d heads, want [B, T, H·P+2N]", xbc.Shape,
			o.state, h)
	}
	for _, s := range in[2:] {
		if err := wantShape("parameter of the heads", s, h); err != nil {
			return Plan{}, err
		}
	}
	return Plan{
		Out:   withLast(xbc, inner),
		Saved: []Spec{floatSpec(b, h, tiles(t, scanChunk), o.state, inner/h)}, // the states before the chunks
		Work: []Spec{
			floatSpec(b, h, t, 2*o.state), // ∂B and ∂C of each head
			floatSpec(b, h, 3),            // ∂dtBias, ∂aLog and ∂skip of each sequence
		},
	}, nil
}

// scan is the work on one head of one sequence.
type scan struct {
	c                            *Call
	b, h                         int
	length, heads, width, n, dim int // T, H, columns of xbc, N, P
	inner, chunks                int

	rate, skip float64 // -exp(aLog), skip

	// Of the chunk under work: its number, its first token, its tokens, and for each of them dt + dtBias, Δ and s.
	chunk, from, tokens int
	raw, delta, sum     [scanChunk]float64
}

func (o selectiveScan) head(c *Call, i int) *scan {
	s := &scan{c: c, length: c.In[0].Dim(1), heads: c.In[1].Dim(2), width: c.In[0].Dim(2), n: o.state}
	s.b, s.h = i/s.heads, i%s.heads
	s.inner = s.width - 2*s.n
	s.dim, s.chunks = s.inner/s.heads, tiles(s.length, scanChunk)
	s.rate, s.skip = -math.Exp(float64(c.In[3].F[s.h])), float64(c.In[4].F[s.h])
	return s
}

// begin turns to a chunk.
func (s *scan) begin(chunk int) {
	from, to := tile(chunk, scanChunk, s.length)
	s.chunk, s.from, s.tokens = chunk, from, to-from
	var sum float64
	for i := range s.tokens {
		u := float64(s.c.In[1].F[(s.b*s.length+from+i)*s.heads+s.h]) + float64(s.c.In[2].F[s.h])
		s.raw[i] = u
		s.delta[i] = max(u, 0) + math.Log1p(math.Exp(-math.Abs(u)))
		sum += s.rate * s.delta[i]
		s.sum[i] = sum
	}
}

// x, bs and cs are the chunk's first row of x, B and C, in matrices whose rows are `width` apart; in is xbc or its
// gradient.
func (s *scan) x(in []float32) []float32 { return in[(s.b*s.length+s.from)*s.width+s.h*s.dim:] }
func (s *scan) bs() []float32            { return s.c.In[0].F[(s.b*s.length+s.from)*s.width+s.inner:] }
func (s *scan) cs() []float32            { return s.c.In[0].F[(s.b*s.length+s.from)*s.width+s.inner+s.n:] }

// y is the chunk's first row of the head in a tensor like the result, whose rows are `inner` apart.
func (s *scan) y(out []float32) []float32 { return out[(s.b*s.length+s.from)*s.inner+s.h*s.dim:] }

// before is where the state before the chunk is saved; nil outside training.
func (s *scan) before() []float32 {
	if s.c.Saved[0].F == nil {
		return nil
	}
	size := s.n * s.dim
	at := ((s.b*s.heads+s.h)*s.chunks + s.chunk) * size
	return s.c.Saved[0].F[at : at+size]
}

// last is the chunk's last sum: the state before the chunk decays by exp(last).
func (s *scan) last() float64 { return s.sum[s.tokens-1] }

func exp32(x float64) float32 { return float32(math.Exp(x)) }

// decays fills row with exp(s[i]-s[j]) for j ≤ i and gives it.
func (s *scan) decays(row []float32, i int) []float32 {
	for j := range row[:i+1] {
		row[j] = float32(s.sum[i] - s.sum[j])
	}
	vec.Exp(row[:i+1], row[:i+1])
	return row[:i+1]
}

// deltas fills row with Δ.
func (s *scan) deltas(row []float32) {
	for j := range s.tokens {
		row[j] = float32(s.delta[j])
	}
}

// decayedC fills rows [tokens, N] with exp(s[i]) C[i].
func (s *scan) decayedC(rows []float32) {
	for i, c := 0, s.cs(); i < s.tokens; i++ {
		vec.Scale(rows[i*s.n:(i+1)*s.n], exp32(s.sum[i]), c[i*s.width:i*s.width+s.n])
	}
}

// decayedB fills rows [tokens, N] with exp(s[last]-s[j]) Δ[j] B[j].
func (s *scan) decayedB(rows []float32) {
	for j, b := 0, s.bs(); j < s.tokens; j++ {
		vec.Scale(rows[j*s.n:(j+1)*s.n], float32(math.Exp(s.last()-s.sum[j])*s.delta[j]), b[j*s.width:j*s.width+s.n])
	}
}

func (o selectiveScan) Forward(c *Call) {
	heads, n := c.In[1].Dim(2), o.state
	dim := c.Out.Dim(2) / heads
	size := scanChunk*scanChunk + 2*scanChunk + scanChunk*n + n*dim
	ParallelScratch(c.Out.Dim(0)*heads, size, func(i int, scratch []float32) {
		s := o.head(c, i)
		scores, row, deltas := cut(&scratch, scanChunk*scanChunk), cut(&scratch, scanChunk), cut(&scratch, scanChunk)
		rows, state := cut(&scratch, scanChunk*n), cut(&scratch, n*dim)
		for chunk := range s.chunks {
			s.begin(chunk)
			s.deltas(deltas)
			s.within(scores, row, deltas)
			if chunk > 0 {
				copy(s.before(), state)
				s.decayedC(rows)
				blas.Gemm(false, false, s.tokens, dim, n, 1, rows, n, state, dim, 1, s.y(c.Out.F), s.inner)
			}
			if chunk == s.chunks-1 {
				break
			}
			beta := float32(0)
			if chunk > 0 {
				vec.Scale(state, exp32(s.last()), state)
				beta = 1
			}
			s.decayedB(rows)
			blas.Gemm(true, false, n, dim, s.tokens, 1, rows, n, s.x(c.In[0].F), s.width, beta, state, dim)
		}
	})
}

// within writes what the chunk's own tokens give to y.
func (s *scan) within(scores, row, deltas []float32) {
	n := s.tokens
	x, y := s.x(s.c.In[0].F), s.y(s.c.Out.F)
	blas.Gemm(false, true, n, n, s.n, 1, s.cs(), s.width, s.bs(), s.width, 0, scores, scanChunk)
	for i := range n {
		m := scores[i*scanChunk : i*scanChunk+n]
		vec.Mul(m[:i+1], m[:i+1], s.decays(row, i))
		vec.Mul(m[:i+1], m[:i+1], deltas[:i+1])
		clear(m[i+1:])
	}
	blas.Gemm(false, false, n, s.dim, n, 1, scores, scanChunk, x, s.width, 0, y, s.inner)
	for i := range n {
		vec.Axpy(y[i*s.inner:i*s.inner+s.dim], float32(s.skip), x[i*s.width:i*s.width+s.dim])
	}
}

func (o selectiveScan) Backward(c *Call) {
	heads, n := c.In[1].Dim(2), o.state
	dim := c.Grad.Dim(2) / heads
	size := 2*scanChunk*scanChunk + 3*scanChunk + 2*scanChunk*n + n*dim + scanChunk*dim
	ParallelScratch(c.Grad.Dim(0)*heads, size, func(i int, scratch []float32) {
		g := &scanGrad{scan: o.head(c, i)}
		g.scores, g.dScores = cut(&scratch, scanChunk*scanChunk), cut(&scratch, scanChunk*scanChunk)
		g.row, g.product, g.deltas = cut(&scratch, scanChunk), cut(&scratch, scanChunk), cut(&scratch, scanChunk)
		g.rows, g.outer = cut(&scratch, scanChunk*n), cut(&scratch, scanChunk*n)
		g.dState, g.unwanted = cut(&scratch, n*dim), cut(&scratch, scanChunk*dim)
		for chunk := g.chunks - 1; chunk >= 0; chunk-- {
			g.begin(chunk)
			g.gradient()
		}
		sums := c.Work[1].F[3*i : 3*i+3]
		sums[0], sums[1], sums[2] = float32(g.dBias), float32(g.dRate*g.rate), float32(g.dSkip)
	})
	o.sumHeads(c)
	for j := range 3 {
		if dst := c.GradIn[2+j].F; dst != nil {
			clear(dst)
			for i := range c.Grad.Dim(0) * heads { // sequence after sequence
				dst[i%heads] += c.Work[1].F[3*i+j]
			}
		}
	}
}

// sumHeads adds up the heads' ∂B and ∂C, in order.
func (o selectiveScan) sumHeads(c *Call) {
	if c.GradIn[0].F == nil {
		return
	}
	length, heads, width, n := c.In[0].Dim(1), c.In[1].Dim(2), c.In[0].Dim(2), o.state
	rows := c.In[0].Rows()
	ParallelRows(rows, func(r int) {
		dst := c.GradIn[0].F[(r+1)*width-2*n : (r+1)*width]
		clear(dst)
		for h := range heads {
			vec.AddTo(dst, rowAt(c.Work[0], (r/length*heads+h)*length+r%length, 2*n))
		}
	})
}

// scanGrad is the backward pass over one head of one sequence.
type scanGrad struct {
	*scan
	scores, dScores      []float32 // [tokens, tokens]
	row, product, deltas []float32 // [tokens]
	rows, outer          []float32 // [tokens, N]
	dState               []float32 // ∂ of the state after the chunk [N, P]; undefined in the last chunk
	unwanted             []float32 // in place of ∂x

	dDelta, dSum        [scanChunk]float64
	dBias, dRate, dSkip float64
}

// gradient adds up what a chunk gives and turns dState into that of the state before it.
func (g *scanGrad) gradient() {
	clear(g.dDelta[:])
	clear(g.dSum[:])
	g.scan.deltas(g.deltas)
	dx, stride := g.unwanted, g.dim
	if in := g.c.GradIn[0].F; in != nil {
		dx, stride = g.x(in), g.width
	}
	g.skipGrad(dx, stride)
	g.withinGrad(dx, stride)
	first, last := g.chunk == 0, g.chunk == g.chunks-1
	if !first {
		g.readGrad()
	}
	if !last {
		g.writeGrad(dx, stride)
	}
	if !first {
		g.stateGrad(last)
	}
	g.dtGrad()
}

// gradRow is row r of the head's ∂B and ∂C.
func (g *scanGrad) gradRow(r int) (dB, dC []float32) {
	row := rowAt(g.c.Work[0], (g.b*g.heads+g.h)*g.length+g.from+r, 2*g.n)
	return row[:g.n], row[g.n:]
}

// skipGrad begins ∂x with skip ∂y.
func (g *scanGrad) skipGrad(dx []float32, stride int) {
	x, dy := g.x(g.c.In[0].F), g.y(g.c.Grad.F)
	for i := range g.tokens {
		row := dy[i*g.inner : i*g.inner+g.dim]
		vec.Scale(dx[i*stride:i*stride+g.dim], float32(g.skip), row)
		g.dSkip += float64(vec.Dot(row, x[i*g.width:i*g.width+g.dim]))
	}
}

// withinGrad is the gradient of what the chunk's tokens give each other: with E[i,j] = exp(s[i]-s[j]), G = C Bᵀ and
// ∂M = ∂y xᵀ, of M = G ⊙ E ⊙ Δ.
func (g *scanGrad) withinGrad(dx []float32, stride int) {
	n := g.tokens
	x, dy := g.x(g.c.In[0].F), g.y(g.c.Grad.F)
	blas.Gemm(false, true, n, n, g.n, 1, g.cs(), g.width, g.bs(), g.width, 0, g.scores, scanChunk)
	blas.Gemm(false, true, n, n, g.dim, 1, dy, g.inner, x, g.width, 0, g.dScores, scanChunk)
	for i := range n {
		m, dm := g.scores[i*scanChunk:i*scanChunk+n], g.dScores[i*scanChunk:i*scanChunk+n]
		clear(m[i+1:])
		clear(dm[i+1:])
		m, dm = m[:i+1], dm[:i+1]
		e, deltas, product := g.decays(g.row, i), g.deltas[:i+1], g.product[:i+1]
		vec.Mul(m, m, e)
		vec.Mul(product, dm, m)
		for j, p := range product {
			g.dDelta[j] += float64(p)
			q := float64(p) * g.delta[j]
			g.dSum[i] += q
			g.dSum[j] -= q
		}
		vec.Mul(m, m, deltas)
		vec.Mul(dm, dm, e)
		vec.Mul(dm, dm, deltas)
	}
	dB := g.c.Work[0].F[((g.b*g.heads+g.h)*g.length+g.from)*2*g.n:]
	dC := dB[g.n:]
	blas.Gemm(true, false, n, g.dim, n, 1, g.scores, scanChunk, dy, g.inner, 1, dx, stride)
	blas.Gemm(false, false, n, g.n, n, 1, g.dScores, scanChunk, g.bs(), g.width, 0, dC, 2*g.n)
	blas.Gemm(true, false, n, g.n, n, 1, g.dScores, scanChunk, g.cs(), g.width, 0, dB, 2*g.n)
}

// readGrad is the gradient of exp(s[i]) C[i]ᵀ S, but for that of S.
func (g *scanGrad) readGrad() {
	c, dy := g.cs(), g.y(g.c.Grad.F)
	blas.Gemm(false, true, g.tokens, g.n, g.dim, 1, dy, g.inner, g.before(), g.dim, 0, g.outer, g.n)
	for i := range g.tokens {
		_, dC := g.gradRow(i)
		k, f := g.outer[i*g.n:(i+1)*g.n], exp32(g.sum[i])
		vec.Axpy(dC, f, k)
		g.dSum[i] += float64(f) * float64(vec.Dot(c[i*g.width:i*g.width+g.n], k))
	}
}

// writeGrad is the gradient of the state after the chunk, but for that of the state before it.
func (g *scanGrad) writeGrad(dx []float32, stride int) {
	b, x, last := g.bs(), g.x(g.c.In[0].F), g.tokens-1
	blas.Gemm(false, true, g.tokens, g.n, g.dim, 1, x, g.width, g.dState, g.dim, 0, g.outer, g.n)
	for j := range g.tokens {
		dB, _ := g.gradRow(j)
		u, w := g.outer[j*g.n:(j+1)*g.n], math.Exp(g.last()-g.sum[j])
		vec.Axpy(dB, float32(w*g.delta[j]), u)
		p := w * float64(vec.Dot(b[j*g.width:j*g.width+g.n], u))
		g.dDelta[j] += p
		g.dSum[last] += p * g.delta[j]
		g.dSum[j] -= p * g.delta[j]
	}
	g.decayedB(g.rows)
	blas.Gemm(false, false, g.tokens, g.dim, g.n, 1, g.rows, g.n, g.dState, g.dim, 1, dx, stride)
	if g.chunk > 0 {
		g.dSum[last] += math.Exp(g.last()) * float64(vec.Dot(g.dState, g.before()))
	}
}

// stateGrad turns dState into that of the state before the chunk.
func (g *scanGrad) stateGrad(last bool) {
	beta := float32(0)
	if !last {
		vec.Scale(g.dState, exp32(g.last()), g.dState)
		beta = 1
	}
	g.decayedC(g.rows)
	blas.Gemm(true, false, g.n, g.dim, g.tokens, 1, g.rows, g.n, g.y(g.c.Grad.F), g.inner, beta, g.dState, g.dim)
}

// dtGrad takes the gradients of s and Δ back to dt, dtBias and the rate.
func (g *scanGrad) dtGrad() {
	var da float64 // ∂a[j] = Σ_{i≥j} ∂s[i]
	for j := g.tokens - 1; j >= 0; j-- {
		da += g.dSum[j]
		g.dRate += da * g.delta[j]
		du := (g.dDelta[j] + da*g.rate) / (1 + math.Exp(-g.raw[j]))
		g.dBias += du
		if dt := g.c.GradIn[1].F; dt != nil {
			dt[(g.b*g.length+g.from+j)*g.heads+g.h] = float32(du)
		}
	}
}
