package main

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// sparseMemory is an architecture: SynapNet without its convolution, gates and bridge, and with SwiGLU for a feed-forward. Its
// blocks have an episodic memory that lasts from chunk to chunk (layers.MemoryBlock), so that it can be streamed.
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
	Costs:     memoryBlockCosts,
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
func (b *memoryBlock) ForwardMemory(g *graph.Graph, x *graph.Node, external *layers.External, last bool) layers.BlockOutput {
	n := b.norm1.Forward(g, x)
	q := layers.Wanted(g, n, last)
	salience := b.attention.Salience(g, n, b.memory.Writes(graph.Shape(n)[1]))
	bank := b.memory.Write(g, n, salience.Top)
	read := b.memory.Read(g, q, external, bank)
	x = graph.Sum(g, layers.Wanted(g, x, last), b.attention.Forward(g, n, q, salience), read.Y)
	x = graph.Sum(g, x, b.ffn.Forward(g, b.norm2.Forward(g, x)))
	return layers.BlockOutput{X: x, Salience: salience, Bank: bank, Read: read}
}

func memoryBlockCosts(c layers.Config, _, tokens, rows int) []layers.Cost {
	d, slots := c.Dim, c.EpisodicSlots
	keys, dense := tokens, tokens <= c.SparseThreshold
	if !dense {
		keys = max(1, int(c.KFrac*float64(tokens)))
	}
	attention := layers.Cost{Component: layers.AttentionComponent}
	attention.Linear(rows, d, d, false, true) // Q
	attention.Linear(keys, d, d, false, true) // K
	attention.Linear(keys, d, d, false, true) // V
	attention.Attend(rows, keys, d)
	attention.Linear(rows, d, d, true, true)
	attention.Linear(tokens, d, d/2, true, dense) // the choice of tokens has no gradient, the bias has
	attention.Linear(tokens, d/2, 1, true, dense)

	memory := layers.Cost{Component: layers.MemoryComponent}
	memory.Linear(slots, d, d, false, true) // key
	memory.Linear(slots, d, d, false, true) // value
	memory.Linear(rows, d, d, false, true)  // query
	memory.Attend(rows, slots, d)
	memory.Linear(rows, d, d, true, true)

	forward := layers.Cost{Component: layers.FeedForwardComponent}
	forward.Linear(rows, d, feedForward(c), false, true)
	forward.Linear(rows, d, feedForward(c), false, true)
	forward.Linear(rows, feedForward(c), d, false, true)
	return []layers.Cost{attention, memory, forward, {Component: layers.NormsComponent, Parameters: 2 * d}}
}
