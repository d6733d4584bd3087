package layers

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
)

// Reader is the forward graph of one chunk of a stream, with external memory whose size may change from run to run
// within a capacity, and with all that a memory manager wants to know of the reads.
type Reader struct {
	Program  *graph.Program
	Tokens   int   // the chunk's length T
	Capacity []int // rows of external memory of each block

	model *Model
	out   Output
	ids   []int32
	banks [][]float32
	valid [][]int32
}

// Reader compiles the forward graph for one sample of T tokens and the given capacity, at least 1 row, of each block.
// window is the number of queries at the end of the chunk whose attention is told apart, at least 1. With projections
// the reads' queries, keys and values can be asked for.
func (m *Model) Reader(tokens int, capacity []int, window int, projections bool) (*Reader, error) {
	r, g, err := m.readerGraph(graph.Build, tokens, capacity, window, projections)
	if err != nil {
		return nil, err
	}
	if r.Program, err = g.Compile(); err != nil {
		return nil, err
	}
	return r, nil
}

func (m *Model) readerGraph(build buildGraph, tokens int, capacity []int, window int,
	projections bool) (*Reader, *graph.Graph, error) {
	if err := m.CheckMemory(); err != nil {
		return nil, nil, err
	}
	if len(capacity) != len(m.all) {
		return nil, nil, fmt.Errorf("model: got memory capacities for %d blocks, want %d", len(capacity), len(m.all))
	}
	r := &Reader{Tokens: tokens, Capacity: slices.Clone(capacity), model: m}
	g, err := build(func(g *graph.Graph) {
		ids := g.InputInts("ids", 1, tokens)
		var external []*External
		for i, rows := range capacity {
			bank := g.Input(fmt.Sprintf("external.%d", i), 1, rows, m.Config.Dim)
			valid := g.InputInts(fmt.Sprintf("valid.%d", i), 1)
			r.banks, r.valid = append(r.banks, g.Floats(bank)), append(r.valid, g.Ints(valid))
			external = append(external, &External{Bank: bank, Valid: valid, Window: window})
		}
		r.out = m.ForwardExternal(g, ids, external)
		r.ids = g.Ints(ids)
		g.Keep(r.out.Logits)
		for _, b := range r.out.Blocks {
			g.Keep(b.Bank, b.Salience.Sigma, b.Salience.Top, b.Read.Received)
			if projections {
				g.Keep(b.Read.Queries, b.Read.Keys, b.Read.Values)
			}
		}
	})
	return r, g, err
}

// External is the memory of block i to be filled before a run, [capacity, D]; its first SetRows rows are read.
func (r *Reader) External(i int) []float32 { return r.banks[i] }

// SetRows says how many rows of block i's external memory are in use.
func (r *Reader) SetRows(i, rows int) { r.valid[i][0] = int32(rows) }

// Rows is the number of rows that block i's last read saw: those of the external memory in use and the fresh S.
func (r *Reader) Rows(i int) int { return int(r.valid[i][0]) + r.model.Config.EpisodicSlots }

// Run computes the logits of the T tokens ids. The result, as those of the other methods, is valid until the next run.
func (r *Reader) Run(ids []int32) ([]float32, error) {
	if len(ids) != len(r.ids) {
		return nil, fmt.Errorf("model: got %d ids, want %d", len(ids), len(r.ids))
	}
	copy(r.ids, ids)
	if err := r.Program.Run(); err != nil {
		return nil, err
	}
	return r.Program.Value(r.out.Logits), nil
}

// Bank is block i's fresh memory bank [S, D].
func (r *Reader) Bank(i int) []float32 { return r.Program.Value(r.out.Blocks[i].Bank) }

// Salience is block i's soft mask [T].
func (r *Reader) Salience(i int) []float32 { return r.Program.Value(r.out.Blocks[i].Salience.Sigma) }

// Written is the positions in the chunk of the tokens in block i's fresh bank, in its order; the bank's further rows
// are zero padding.
func (r *Reader) Written(i int) []int32 {
	return r.Program.Ints(r.out.Blocks[i].Salience.Top)[:r.model.Config.BankRows(r.Tokens)]
}

// Received is the attention that each of the Rows of block i's read received, one of the graph.Received… kinds.
func (r *Reader) Received(i, kind int) []float32 {
	all := r.Program.Value(r.out.Blocks[i].Read.Received)
	keys := len(all) / 3
	return all[kind*keys : kind*keys+r.Rows(i)]
}

// Queries is the number of queries of block i's read: the last block of a classifier reads for the last token only.
func (r *Reader) Queries(i int) int { return graph.Shape(r.out.Blocks[i].Read.Queries)[1] }

// Projections are block i's queries [Q, D] and the keys and values [Rows, D] of its read. The reader must have been
// made with projections.
func (r *Reader) Projections(i int) (queries, keys, values []float32) {
	read := r.out.Blocks[i].Read
	n := r.Rows(i) * r.model.Config.Dim
	return r.Program.Value(read.Queries), r.Program.Value(read.Keys)[:n], r.Program.Value(read.Values)[:n]
}
