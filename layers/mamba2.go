package layers

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/synapnet/synapnet-train/graph"
)

// The sizes of a Mamba-2 block that follow from no setting.
const (
	Mamba2Expand = 2  // inner width over D
	Mamba2State  = 64 // state N of a head
	Mamba2Conv   = 4  // width in tokens of the causal convolution
)

// mamba2Architecture is the selective state space baseline: blocks of Mamba-2 (Dao and Gu 2024) alone, without feed-forward,
// with a final RMSNorm. The reference has no such model; its Mamba-2 proxy is gruSSMArchitecture.
var mamba2Architecture = architecture{
	name: Mamba2, about: "selective state space with scalar decay a head (Mamba-2)",
	block: func(ps *Params, i int, c Config) BaselineBlock { return NewMamba2Block(ps, i, c) },
	uses: []use{
		{"mixer.in_proj.xbc.", SSMComponent, everyToken}, {"mixer.in_proj.dt.", SSMComponent, everyToken},
		{"mixer.", SSMComponent, wantedRows}, {"norm", NormsComponent, nil},
	},
	products: func(c Config, _ int, n rowCounts, of func(component string) *Cost) {
		of(SSMComponent).product(n.tokens, Mamba2State, Mamba2Expand*c.Dim, true) // Δ B ⊗ x
		of(SSMComponent).product(n.tokens, Mamba2State, Mamba2Expand*c.Dim, true) // Cᵀ S
	},
	causal: true, rmsNorm: true,
	mlpRatio: 4, deeper: 2, // it has no feed-forward: two blocks are about one of a transformer
}

// Mamba2Block is x ← x + mixer(RMSNorm(x)) with the mixer of Mamba-2: for its input n, inner width I = 2D, H heads of width
// I/H and state N = 64,
//
//	z = W_z n, (u, B, C) = SiLU(causal convolution of W_xbc n), dt = W_dt n
//	y = SelectiveScan(u, B, C, dt)
//	out = W_out RMSNorm(y ⊙ SiLU(z)).
//
// The in-projection is held as its three parts, W_z, W_xbc and W_dt. B and C are shared by the heads.
type Mamba2Block struct {
	Norm             *RMSNorm
	InZ, InXBC, InDT *Linear
	Conv             *graph.Param // [I+2N, 1, 4], uniform ±1/2
	ConvB            *graph.Param // [I+2N], uniform ±1/2
	DTBias           *graph.Param // [H], such that softplus of it is log-uniform in 0.001 … 0.1
	ALog             *graph.Param // [H], log of uniform 1 … 16
	Skip             *graph.Param // [H], name.D, ones
	OutNorm          *RMSNorm
	Out              *Linear
}

// NewMamba2Block registers block i of a model of configuration c.
func NewMamba2Block(ps *Params, i int, c Config) *Mamba2Block {
	name := fmt.Sprintf("blocks.%d", i)
	mixer := name + ".mixer"
	inner := Mamba2Expand * c.Dim
	conv := inner + 2*Mamba2State
	short := func(r *rand.Rand) float64 { return (2*r.Float64() - 1) / math.Sqrt(Mamba2Conv) }
	return &Mamba2Block{
		Norm:  NewRMSNorm(ps, name+".norm", c.Dim),
		InZ:   NewLinear(ps, mixer+".in_proj.z", c.Dim, inner, false),
		InXBC: NewLinear(ps, mixer+".in_proj.xbc", c.Dim, conv, false),
		InDT:  NewLinear(ps, mixer+".in_proj.dt", c.Dim, c.Heads, false),
		Conv:  ps.drawn(mixer+".conv1d.weight", short, conv, 1, Mamba2Conv),
		ConvB: ps.drawn(mixer+".conv1d.bias", short, conv),
		DTBias: ps.drawn(mixer+".dt_bias", func(r *rand.Rand) float64 {
			const least, most = 1e-3, 1e-1
			step := least * math.Exp(r.Float64()*math.Log(most/least))
			return step + math.Log(-math.Expm1(-step)) // softplus⁻¹
		}, c.Heads),
		ALog:    ps.drawn(mixer+".A_log", func(r *rand.Rand) float64 { return math.Log(1 + 15*r.Float64()) }, c.Heads),
		Skip:    ps.Ones(mixer+".D", c.Heads),
		OutNorm: NewRMSNorm(ps, mixer+".norm", inner),
		Out:     NewLinear(ps, mixer+".out_proj", inner, c.Dim, false),
	}
}

// Forward maps x [B, T, D] through the block, see BaselineBlock.
func (b *Mamba2Block) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	n := b.Norm.Forward(g, x)
	xbc := graph.CausalConv(g, b.InXBC.Forward(g, n, graph.Identity), g.Param(b.Conv), g.Param(b.ConvB))
	y := graph.SelectiveScan(g, xbc, b.InDT.Forward(g, n, graph.Identity),
		g.Param(b.DTBias), g.Param(b.ALog), g.Param(b.Skip), Mamba2State)
	gated := graph.Product(g, wanted(g, y, last), b.InZ.Forward(g, wanted(g, n, last), graph.SiLU))
	return graph.Sum(g, wanted(g, x, last), b.Out.Forward(g, b.OutNorm.Forward(g, gated), graph.Identity))
}
