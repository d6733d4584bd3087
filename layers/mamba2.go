package layers

import (
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

// mamba2 is the selective state space baseline: blocks of Mamba-2 (Dao and Gu 2024) alone, without feed-forward,
// with a final RMSNorm. The reference has no such model; its Mamba-2 proxy is gruSSM.
var mamba2 = ArchitectureSpec{
	Name: string(Mamba2), Doc: "selective state space with scalar decay a head (Mamba-2)",
	Source: "Dao and Gu, Transformers are SSMs (2024)",
	Block:  func(ps *Params, name string, _ int, c Config) Block { return NewMamba2Block(ps, name, c) },
	Uses: []Use{
		{Prefix: "mixer.in_proj.xbc.", Component: SSMComponent, Rows: EveryToken},
		{Prefix: "mixer.in_proj.dt.", Component: SSMComponent, Rows: EveryToken},
		{Prefix: "mixer.", Component: SSMComponent, Rows: WantedRows}, {Prefix: "norm", Component: NormsComponent},
	},
	Products: func(c Config, _ int, n RowCounts, of func(component string) *Cost) {
		of(SSMComponent).Product(n.Tokens, Mamba2State, Mamba2Expand*c.Dim, true) // Δ B ⊗ x
		of(SSMComponent).Product(n.Tokens, Mamba2State, Mamba2Expand*c.Dim, true) // Cᵀ S
	},
	Causal: true, RMSNorm: true,
	MLPRatio: 4, Deeper: 2, // it has no feed-forward: two blocks are about one of a transformer
}

// Mamba2Block is x ← x + mixer(RMSNorm(x)) with the mixer of Mamba-2: for its input n, inner width I = 2D, H heads of
// width I/H and state N = 64,
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

// NewMamba2Block registers a block of a model of configuration c.
func NewMamba2Block(ps *Params, name string, c Config) *Mamba2Block {
	mixer := name + ".mixer"
	inner := Mamba2Expand * c.Dim
	conv := inner + 2*Mamba2State
	short := func(r *rand.Rand) float64 { return (2*r.Float64() - 1) / math.Sqrt(Mamba2Conv) }
	return &Mamba2Block{
		Norm:  NewRMSNorm(ps, name+".norm", c.Dim),
		InZ:   NewLinear(ps, mixer+".in_proj.z", c.Dim, inner, false),
		InXBC: NewLinear(ps, mixer+".in_proj.xbc", c.Dim, conv, false),
		InDT:  NewLinear(ps, mixer+".in_proj.dt", c.Dim, c.Heads, false),
		Conv:  ps.Drawn(mixer+".conv1d.weight", short, conv, 1, Mamba2Conv),
		ConvB: ps.Drawn(mixer+".conv1d.bias", short, conv),
		DTBias: ps.Drawn(mixer+".dt_bias", func(r *rand.Rand) float64 {
			const least, most = 1e-3, 1e-1
			step := least * math.Exp(r.Float64()*math.Log(most/least))
			return step + math.Log(-math.Expm1(-step)) // softplus⁻¹
		}, c.Heads),
		ALog:    ps.Drawn(mixer+".A_log", func(r *rand.Rand) float64 { return math.Log(1 + 15*r.Float64()) }, c.Heads),
		Skip:    ps.Ones(mixer+".D", c.Heads),
		OutNorm: NewRMSNorm(ps, mixer+".norm", inner),
		Out:     NewLinear(ps, mixer+".out_proj", inner, c.Dim, false),
	}
}

// Forward maps x [B, T, D] through the block, see Block.
func (b *Mamba2Block) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	n := b.Norm.Forward(g, x)
	xbc := graph.CausalConv(g, b.InXBC.Forward(g, n, graph.Identity), g.Param(b.Conv), g.Param(b.ConvB))
	y := graph.SelectiveScan(g, xbc, b.InDT.Forward(g, n, graph.Identity),
		g.Param(b.DTBias), g.Param(b.ALog), g.Param(b.Skip), Mamba2State)
	gated := graph.Product(g, Wanted(g, y, last), b.InZ.Forward(g, Wanted(g, n, last), graph.SiLU))
	return graph.Sum(g, Wanted(g, x, last), b.Out.Forward(g, b.OutNorm.Forward(g, gated), graph.Identity))
}
