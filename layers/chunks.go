package layers

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
)

// chunkInputs are the inputs of a graph that reads samples of T tokens in C chunks of T/C, one an element.
type chunkInputs struct {
	ids       []*graph.Node // int32 [B, T/C]
	positions []*graph.Node // int32 [B, T/C]; nil: 0 to T/C-1 in every chunk
	used      []*graph.Node // int32 [B], rows of memory in use after each chunk but the last
}

// inputChunks adds the inputs of a graph to g.
func inputChunks(g *graph.Graph, batch, tokens, chunks int, positions bool) (in chunkInputs) {
	chunks = max(1, chunks)
	if tokens%chunks != 0 {
		graph.Fail("model: %d tokens cannot be read in %d chunks of equal length", tokens, chunks)
	}
	for i := range chunks {
		in.ids = append(in.ids, g.InputInts(fmt.Sprintf("ids.%d", i), batch, tokens/chunks))
		if positions {
			in.positions = append(in.positions, g.InputInts(fmt.Sprintf("positions.%d", i), batch, tokens/chunks))
		}
		if i < chunks-1 {
			in.used = append(in.used, g.InputInts(fmt.Sprintf("used.%d", i), batch))
		}
	}
	return in
}

// forwardChunks is forward of samples that are read as a stream reads them: chunk by chunk, each from position 0 on
// unless positions are given, and each block reading what it wrote in all chunks before, besides its fresh bank. A block
// writes the Config.Written most salient tokens of a chunk, in descending order, of which the first ones are kept:
// in.used says how many rows that makes. The output is the last chunk's; of the others a graph computes what their banks
// need.
//
// All reads but the first chunk's are what a Reader does with as many rows, by the same kernels. So what is evicted gets
// no weight and no gradient without a mask, and costs no attention.
func (m *Model) forwardChunks(g *graph.Graph, in chunkInputs, asked *graph.Node) Output {
	position := func(i int) *graph.Node {
		if in.positions == nil {
			return m.positions(g, in.ids[i])
		}
		return in.positions[i]
	}
	var memory []*External // of each block
	for i, used := range in.used {
		blocks := m.forward(g, in.ids[i], position(i), nil, memory).Blocks
		if len(blocks) != len(m.all) {
			graph.Fail("model: %v", m.CheckMemory())
		}
		next := make([]*External, len(blocks))
		for b, o := range blocks {
			bank := graph.SliceRows(g, o.Bank, 0, m.Config.Written(graph.Shape(in.ids[i])[1]))
			if memory != nil {
				bank = graph.PackBank(g, memory[b].Bank, bank, memory[b].Valid)
			}
			next[b] = &External{Bank: bank, Valid: used}
		}
		memory = next
	}
	last := len(in.ids) - 1
	return m.forward(g, in.ids[last], position(last), asked, memory)
}

// Written is the number of entries that a block writes in a chunk of so many tokens; the further rows of its bank are
// padding.
func (c Config) Written(tokens int) int {
	return min(fraction(c.EpisodicWriteFrac, tokens), c.EpisodicSlots)
}

// CheckMemory is an error for an architecture whose blocks have no memory that lasts from one chunk to the next.
func (c Config) CheckMemory() error {
	c.Depth = max(1, c.Architecture.find().Period) // one block of each kind
	return outline(c, nil).CheckMemory()
}

// memoryOf are the values of inputs, to be filled before a run; nil in an outline.
func memoryOf(g *graph.Graph, inputs []*graph.Node) (all [][]int32) {
	for _, n := range inputs {
		all = append(all, g.Ints(n))
	}
	return all
}

// fillChunks lays rows [B, T] out in the inputs of chunks, [B, T/C] each.
func fillChunks(chunks [][]int32, rows []int32, batch int) {
	for i, part := range chunks {
		n := len(part) / batch
		for b := range batch {
			copy(part[b*n:(b+1)*n], rows[(b*len(chunks)+i)*n:])
		}
	}
}
