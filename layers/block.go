package layers

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
)

// SynapBlock is one hybrid block (SPEC section 1): with n = LayerNorm(x) and the pathways s = SSM(n), a = attention(n),
// m = memory(n), fused by the ScaleBridge if there is one,
//
//	x ← x + s + sigmoid(α(n)) ⊙ a + sigmoid(β(n)) ⊙ m
//	x ← x + W₂ GELU(W₁ LayerNorm(x))
type SynapBlock struct {
	Norm        *LayerNorm
	SSM         *SSM
	Attention   *SparseAttention
	Memory      *EpisodicMemory
	Bridge      *ScaleBridge // nil: the pathways are mixed as they are
	Alpha, Beta *Linear
	FFNorm      *LayerNorm
	FF1, FF2    *Linear
}

// NewSynapBlock registers block i of a model of configuration c.
func NewSynapBlock(ps *Params, i int, c Config) *SynapBlock {
	name := fmt.Sprintf("blocks.%d", i)
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
	b.FF1 = NewLinear(ps, name+".ff.1", c.Dim, c.hidden(), true)
	b.FF2 = NewLinear(ps, name+".ff.3", c.hidden(), c.Dim, true)
	return b
}

// BlockOutput is what a block gives to the next one and to the memory manager.
type BlockOutput struct {
	X        *graph.Node // [B, T, D], or [B, 1, D] from ForwardLast
	Salience Salience
	Bank     *graph.Node // the fresh memory bank [B, S, D]
	Read     Read        // of the episodic memory
}

// Forward maps x [B, T, D] through the block; external is memory from earlier chunks, nil without.
func (b *SynapBlock) Forward(g *graph.Graph, x *graph.Node, external *External) BlockOutput {
	n := b.Norm.Forward(g, x)
	return b.mix(g, x, n, n, b.SSM.Forward(g, n), external)
}

// ForwardLast is Forward for a reader of the last token only: X is [B, 1, D]. Everything that the other tokens
// contribute to it (keys, values, salience, the bank) is computed, and nothing else.
func (b *SynapBlock) ForwardLast(g *graph.Graph, x *graph.Node, external *External) BlockOutput {
	n := b.Norm.Forward(g, x)
	last := graph.Shape(x)[1] - 1
	return b.mix(g, graph.SliceRows(g, x, last, 1), n, graph.SliceRows(g, n, last, 1), b.SSM.ForwardLast(g, n), external)
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
	return BlockOutput{X: x, Salience: salience, Bank: bank, Read: read}
}
