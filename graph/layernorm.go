package graph

import (
	"fmt"
	"strconv"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// LayerNormEps is the ε of every LayerNorm (SPEC section 1).
const LayerNormEps = 1e-5

// LayerNorm is y = (x - mean(x)) / sqrt(var(x) + ε) ⊙ γ + β over the last dimension (biased variance) for x [..., D],
// γ and β [D]. With x̂ the normalised x and h = ∂y ⊙ γ:
// ∂x = (h - mean(h) - x̂ mean(h ⊙ x̂)) / sqrt(var + ε), ∂γ = Σ_rows ∂y ⊙ x̂, ∂β = Σ_rows ∂y.
func LayerNorm(g *Graph, x, gamma, beta *Node) *Node {
	return Apply(g, layerNorm{1}, x, gamma, beta)
}

// NormConcat is the concatenation over the last dimension of LayerNorm(xᵢ, γᵢ, βᵢ) for several xᵢ [..., D]: what a
// ScaleBridge does before it fuses the pathways. The result is [..., P·D] for P pathways.
func NormConcat(g *Graph, xs, gammas, betas []*Node) *Node {
	return Apply(g, layerNorm{len(xs)}, append(append(append([]*Node(nil), xs...), gammas...), betas...)...)
}

type layerNorm struct{ paths int }

func (l layerNorm) String() string { return "layernorm(paths=" + strconv.Itoa(l.paths) + ")" }

func (l layerNorm) Plan(in []Spec) (Plan, error) {
	if len(in) != 3*l.paths || l.paths == 0 {
		return Plan{}, fmt.Errorf("got %d operands for %d pathways", len(in), l.paths)
	}
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	d := lastDim(in[0])
	for i, s := range in {
		if i < l.paths {
			if err := sameShape(in[0], s); err != nil {
				return Plan{}, err
			}
		} else if err := wantShape("scale or shift", s, d); err != nil {
			return Plan{}, err
		}
	}
	rows := rowsOf(in[0])
	return Plan{
		Out:   withLast(in[0], l.paths*d),
		Saved: []Spec{floatSpec(l.paths, rows), floatSpec(l.paths, rows)}, // mean, 1/sqrt(var+ε)
		Work:  []Spec{floatSpec(tiles(rows, rowTile), l.paths, 2, d)},     // partial sums of ∂γ, ∂β
	}, nil
}

func (l layerNorm) Forward(c *Call) {
	rows, d := c.In[0].Rows(), c.In[0].Dim(-1)
	Parallel(tiles(rows, rowTile), func(i int) {
		a, b := tile(i, rowTile, rows)
		for p := range l.paths {
			gamma, beta := c.In[l.paths+p].F, c.In[2*l.paths+p].F
			for r := a; r < b; r++ {
				y := c.Out.F[(r*l.paths+p)*d : (r*l.paths+p+1)*d]
				mean, rstd := vec.NormRow(y, c.In[p].F[r*d:(r+1)*d], gamma, beta, LayerNormEps)
				if s := c.Saved; s[0].F != nil {
					s[0].F[p*rows+r], s[1].F[p*rows+r] = mean, rstd
				}
			}
		}
	})
}

func (l layerNorm) Backward(c *Call) {
	rows, d := c.In[0].Rows(), c.In[0].Dim(-1)
	partial := c.Work[0].F
	ParallelScratch(tiles(rows, rowTile), d, func(i int, scratch []float32) {
		a, b := tile(i, rowTile, rows)
		for p := range l.paths {
			at := (i*l.paths + p) * 2 * d
			dGamma, dBeta := partial[at:at+d], partial[at+d:at+2*d]
			clear(dGamma)
			clear(dBeta)
			gamma := c.In[l.paths+p].F
			for r := a; r < b; r++ {
				dx := scratch
				if c.GradIn[p].F != nil {
					dx = c.GradIn[p].F[r*d : (r+1)*d]
				}
				dy := c.Grad.F[(r*l.paths+p)*d : (r*l.paths+p+1)*d]
				vec.NormRowGrad(dx, dGamma, dBeta, dy, c.In[p].F[r*d:(r+1)*d], gamma, c.Saved[0].F[p*rows+r],
					c.Saved[1].F[p*rows+r])
			}
		}
	})
	for p := range l.paths {
		sumTiles(c.GradIn[l.paths+p].F, partial, 2*p*d, l.paths*2*d)
		sumTiles(c.GradIn[2*l.paths+p].F, partial, (2*p+1)*d, l.paths*2*d)
	}
}

// sumTiles adds, in order, the partial sums that stand at `at`, at+stride, …; dst nil means not wanted.
func sumTiles(dst, partial []float32, at, stride int) {
	if dst == nil {
		return
	}
	clear(dst)
	for ; at < len(partial); at += stride {
		vec.AddTo(dst, partial[at:at+len(dst)])
	}
}
