package main

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// sparseMemory is an architecture: SynapNet without its convolution, gates and bridge, and with SwiGLU for a
// feed-forward. Its blocks have an episodic memory that lasts from chunk to chunk (layers.MemoryBlock), so that it can
// be streamed.
var sparseMemory = layers.ArchitectureSpec{
	Name: "sparse_memory", Doc: "salience-steered sparse attention, episodic memory and SwiGLU", Source: "this example",
	Block: func(ps *layers.Params, name string, _ int, c layers.Config) layers.Block {
		return &memoryBlock{
			norm1:     layers.NewRMSNorm(ps, name+".norm1", c.Dim),
			attention: layers.NewSparseAttention(ps, name+".attn", c.Dim, c.Heads, c.KFrac, c.SparseThreshold),
			memory:    layers.NewEpisodicMemory(ps, name+".epmem", c.Dim, c.EpisodicSlots, c.EpisodicWriteFrac),
			norm2:     layers.NewRMSNorm(ps, name+".norm2", c.Dim),
			ffn:       layers.NewSwiGLU(ps, name+".ffn", c.Dim, feedForward(c)),
		}
	},
	Uses: slices.Concat(layers.SparseAttentionUses("attn."), layers.EpisodicMemoryUses("epmem."), []layers.Use{
		{Prefix: "ffn.", Component: layers.FeedForwardComponent, Rows: layers.WantedRows},
		{Prefix: "norm", Component: layers.NormsComponent},
	}),
	Products: func(c layers.Config, _ int, n layers.RowCounts, of func(component string) *layers.Cost) {
		of(layers.AttentionComponent).Attend(n.Wanted, n.Keys, c.Dim)
		of(layers.MemoryComponent).Attend(n.Wanted, n.Slots, c.Dim)
	},
	SeesLater: "its attention and memory",
	RMSNorm:   true,
	MLPRatio:  2.67, WriteFraction: 0.05,
	Options: map[string]float64{ffWidth: 1},
	Check: func(c layers.Config) error {
		if feedForward(c) < 1 {
			return fmt.Errorf("%s is %g: it must give a feed-forward of at least 1", ffWidth, c.Option(ffWidth))
		}
		return nil
	},
}

// ffWidth is an option of the architecture: the width of the feed-forward over what mlp_ratio says.
const ffWidth = "ff_width"

func feedForward(c layers.Config) int { return int(c.Option(ffWidth) * float64(c.Hidden())) }

// memoryBlock is, with n = RMSNorm(x),
//
//	x ← x + attention(n) + memory(n)
//	x ← x + SwiGLU(RMSNorm(x)).
type memoryBlock struct {
	norm1     *layers.RMSNorm
	attention *layers.SparseAttention
	memory    *layers.EpisodicMemory
	norm2     *layers.RMSNorm
	ffn       *layers.SwiGLU
}

// Forward maps x [B, T, D] through the block.
func (b *memoryBlock) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	return b.ForwardMemory(g, x, nil, last).X
}

// ForwardMemory is Forward with memory of earlier chunks.
func (b *memoryBlock) ForwardMemory(g *graph.Graph, x *graph.Node, external *layers.External,
	last bool) layers.BlockOutput {
	n := b.norm1.Forward(g, x)
	q := layers.Wanted(g, n, last)
	salience := b.attention.Salience(g, n, b.memory.Writes(graph.Shape(n)[1]))
	bank := b.memory.Write(g, n, salience.Top)
	read := b.memory.Read(g, q, external, bank)
	x = graph.Sum(g, layers.Wanted(g, x, last), b.attention.Forward(g, n, q, salience), read.Y)
	x = graph.Sum(g, x, b.ffn.Forward(g, b.norm2.Forward(g, x)))
	return layers.BlockOutput{X: x, Salience: salience, Bank: bank, Read: read}
}
