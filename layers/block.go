package layers

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
)

// synapNet is the architecture of this project (SPEC section 1).
var synapNet = ArchitectureSpec{
	Name: synapNetName, Doc: "gated convolution, salience-steered sparse attention and episodic memory",
	Source: "SynapNet-Edge",
	Block:  func(ps *Params, name string, _ int, c Config) Block { return NewSynapBlock(ps, name, c) },
	Uses: slices.Concat(
		[]Use{
			{Prefix: "ssm.", Component: SSMComponent, Rows: convolvedRows},
			{Prefix: "scale_bridge.", Component: BridgeComponent, Rows: WantedRows},
			{Prefix: "alpha_gate.", Component: GatesComponent, Rows: WantedRows},
			{Prefix: "beta_gate.", Component: GatesComponent, Rows: WantedRows},
			{Prefix: "ff.0.", Component: NormsComponent}, {Prefix: "ff.", Component: FeedForwardComponent, Rows: WantedRows},
			{Prefix: "norm", Component: NormsComponent}, {Prefix: "layer_norms.", Component: NormsComponent},
		},
		SparseAttentionUses("attn."), EpisodicMemoryUses("epmem."),
	),
	Products: func(c Config, _ int, n RowCounts, of func(component string) *Cost) {
		of(AttentionComponent).Attend(n.Wanted, n.Keys, c.Dim)
		of(MemoryComponent).Attend(n.Wanted, n.Slots, c.Dim)
	},
	SeesLater: "its convolution, attention and memory",
	MLPRatio:  4, WriteFraction: 0.05,
}

// SynapBlock is one hybrid block (SPEC section 1): with n = LayerNorm(x) and the pathways s = SSM(n), a = attention(n),
// m = memory(n), fused by the ScaleBridge if there is one,
//
//	x ← x + s + sigmoid(α(n)) ⊙ a + sigmoid(β(n)) ⊙ m
//	x ← x + W₂ GELU(W₁ LayerNorm(x))
//
// and, for each layer of Config.BlockLayers,
//
//	x ← x + layer(LayerNorm(x)).
type SynapBlock struct {
	Norm        *LayerNorm
	SSM         *SSM
	Attention   *SparseAttention
	Memory      *EpisodicMemory
	Bridge      *ScaleBridge // nil: the pathways are mixed as they are
	Alpha, Beta *Linear
	FFNorm      *LayerNorm
	FF1, FF2    *Linear

	more      []moreLayer
	mixesRows bool // one of them does: then all rows are needed for the last one
}

// moreLayer is a layer of Config.BlockLayers.
type moreLayer struct {
	name string
	norm *LayerNorm
	Layer
}

// NewSynapBlock registers a block of a model of configuration c under name.
func NewSynapBlock(ps *Params, name string, c Config) *SynapBlock {
	b := &SynapBlock{
		Norm:      NewLayerNorm(ps, name+".norm_in", c.Dim),
		SSM:       NewSSM(ps, name+".ssm", c.Dim),
		Attention: NewSparseAttention(ps, name+".attn", c.Dim, c.Heads, c.KFrac, c.SparseThreshold),
		Memory:    NewEpisodicMemory(ps, name+".epmem", c.Dim, c.EpisodicSlots, c.EpisodicWriteFrac),
	}
	if c.UseScaleBridge {
		b.Bridge = NewScaleBridge(ps, name+".scale_bridge", c.Dim, 3)
	}
	b.Alpha = NewLinear(ps, name+".alpha_gate", c.Dim, c.Dim, true)
	b.Beta = NewLinear(ps, name+".beta_gate", c.Dim, c.Dim, true)
	b.FFNorm = NewLayerNorm(ps, name+".ff.0", c.Dim)
	b.FF1 = NewLinear(ps, name+".ff.1", c.Dim, c.Hidden(), true)
	b.FF2 = NewLinear(ps, name+".ff.3", c.Hidden(), c.Dim, true)
	b.mixesRows = c.mixesRows()
	for i, l := range c.blockLayers() {
		b.more = append(b.more, moreLayer{
			l.Name, NewLayerNorm(ps, fmt.Sprintf("%s.layer_norms.%d", name, i), c.Dim),
			l.New(ps, name+"."+l.under(i), c),
		})
	}
	return b
}

// Forward maps x [B, T, D] through the block, see Block.
func (b *SynapBlock) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	return b.ForwardMemory(g, x, nil, last).X
}

// ForwardMemory is Forward with memory from earlier chunks, see MemoryBlock. For the last row alone, everything that
// the other tokens contribute to it (keys, values, salience, the bank) is computed, and nothing else.
func (b *SynapBlock) ForwardMemory(g *graph.Graph, x *graph.Node, external *External, last bool) BlockOutput {
	n := b.Norm.Forward(g, x)
	if !last || b.mixesRows {
		out := b.mix(g, x, n, n, b.SSM.Forward(g, n), external)
		out.X = Wanted(g, out.X, last)
		return out
	}
	at := graph.Shape(x)[1] - 1
	return b.mix(g, graph.SliceRows(g, x, at, 1), n, graph.SliceRows(g, n, at, 1), b.SSM.ForwardLast(g, n), external)
}

// mix computes the rows q of n whose residual is x and whose SSM pathway is s, in the context of all of n.
func (b *SynapBlock) mix(g *graph.Graph, x, n, q, s *graph.Node, external *External) BlockOutput {
	salience := b.Attention.Salience(g, n, b.Memory.Writes(graph.Shape(n)[1]))
	bank := b.Memory.Write(g, n, salience.Top)
	read := b.Memory.Read(g, q, external, bank)
	paths := []*graph.Node{s, b.Attention.Forward(g, n, q, salience), read.Y}
	if b.Bridge != nil {
		paths = []*graph.Node{b.Bridge.Forward(g, paths...)}
	}
	x = graph.Mix(g, x, b.Alpha.Forward(g, q, graph.Sigmoid), b.Beta.Forward(g, q, graph.Sigmoid), paths...)
	hidden := b.FF1.Forward(g, b.FFNorm.Forward(g, x), graph.GELU)
	x = graph.Sum(g, x, b.FF2.Forward(g, hidden, graph.Identity))
	for _, l := range b.more {
		y := l.Forward(g, l.norm.Forward(g, x))
		checkShape("layer "+l.name, y, graph.Shape(x))
		x = graph.Sum(g, x, y)
	}
	return BlockOutput{X: x, Salience: salience, Bank: bank, Read: read}
}
