package layers

import (
	"fmt"
	"slices"

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
// unless positions are given, and each block reading what it wrote in all chunks before, besides its fresh bank. A
// block writes the Config.Written most salient tokens of a chunk, in descending order, of which the first ones are
// kept: in.used says how many rows that makes. The output is the last chunk's, blocks has what those of each chunk
// gave; of the earlier ones a graph computes what is asked of them, as a rule their banks.
//
// The reads are what a Reader does with as many rows, by the same kernels. So what is evicted gets no weight and no
// gradient without a mask, and costs no attention.
func (m *Model) forwardChunks(g *graph.Graph, in chunkInputs, asked *graph.Node) (out Output, blocks [][]BlockOutput) {
	position := func(i int) *graph.Node {
		if in.positions == nil {
			return m.positions(g, in.ids[i])
		}
		return in.positions[i]
	}
	var memory []*External // of each block; none in one pass
	if len(in.used) > 0 {
		if err := m.CheckMemory(); err != nil {
			graph.Fail("model: chunks: %v", err)
		}
		memory = slices.Repeat([]*External{{Window: 1}}, len(m.all))
	}
	for i, used := range in.used {
		now := m.forward(g, in.ids[i], position(i), nil, memory).Blocks
		next := make([]*External, len(now))
		for b, o := range now {
			bank := graph.SliceRows(g, o.Bank, 0, m.Config.Written(graph.Shape(in.ids[i])[1]))
			if memory[b].Bank != nil {
				bank = graph.PackBank(g, memory[b].Bank, bank, memory[b].Valid)
			}
			next[b] = &External{Bank: bank, Valid: used, Window: 1}
		}
		memory, blocks = next, append(blocks, now)
	}
	last := len(in.ids) - 1
	out = m.forward(g, in.ids[last], position(last), asked, memory)
	return out, append(blocks, out.Blocks)
}

// ChunkRead is what a memory is told of one sample's chunk by a block's read, as a Reader tells it.
type ChunkRead struct {
	Tokens   int       // of the chunk
	Bank     []float32 // the fresh bank [S, D]
	Written  []int32   // positions in the chunk of the entries that are kept, the most salient first
	Salience []float32 // of the chunk's tokens [T/C]
	Queries  int
	Received [][]float32 // by graph.Received… kind, of the rows in use: those kept of the chunks before, and the bank's
}

// ChunkRead is that of the last run of a graph with Reads, valid until the next.
func (t *Trainer) ChunkRead(sample, chunk, block int) ChunkRead {
	o, p := t.blocks[chunk][block], t.Program
	of := func(n *graph.Node) []float32 {
		all := p.Value(n)
		return all[sample*len(all)/t.spec.Batch : (sample+1)*len(all)/t.spec.Batch]
	}
	kept, slots := int(t.used[0][sample]), graph.Shape(o.Bank)[1]
	top := p.Ints(o.Salience.Top)
	r := ChunkRead{
		Tokens: t.spec.Tokens / t.spec.Chunks, Bank: of(o.Bank), Salience: of(o.Salience.Sigma),
		Written: top[sample*len(top)/t.spec.Batch:][:kept], Queries: graph.Shape(o.Read.Queries)[1],
	}
	received := of(o.Read.Received)
	for kind := range slices.Chunk(received, len(received)/3) {
		r.Received = append(r.Received, kind[:chunk*kept+slots])
	}
	return r
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
