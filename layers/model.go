package layers

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/host"
)

// Model is the SynapNet-Edge hybrid: embedding, L blocks, head (SPEC section 1); or, if its configuration names another
// architecture, the blocks of that one in the same frame.
type Model struct {
	Config    Config
	Params    *Params
	Embedding *Embedding
	Blocks    []*SynapBlock // those of SynapNet; none in another architecture
	Head      *Head

	all []Block // the blocks, of whatever architecture

	// Extra goes with the model's files, by name: what makes ids of its text, and what its classes are called.
	Extra map[string]string

	// Positions are those of tokens whose positions are not given (ForwardAt). A clone has plain ones.
	Positions Positions

	// EveryRow makes a classifier compute all T rows of its last block, of which the head reads only the last one.
	// Calibration needs them: the statistics are over all tokens.
	EveryRow bool
}

// NewModel makes a model with the initial weights that belong to the seed.
func NewModel(c Config, seed uint64) (*Model, error) {
	return modelFor(c, seed, "give a smaller model")
}

// modelFor is NewModel with the mend for a model that does not fit into memory: one that is in a file cannot be
// another.
func modelFor(c Config, seed uint64, mend string) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := host.Check("a model of these settings", c.WeightBytes()); err != nil {
		return nil, fmt.Errorf("model: %w; %s", err, mend)
	}
	return assemble(c, NewParams(seed)), nil
}

// assemble makes the layers, whose parameters go into ps.
func assemble(c Config, ps *Params) *Model {
	a := c.Architecture.find()
	m := &Model{Config: c, Params: ps, Embedding: NewEmbedding(ps, c)}
	for i := range c.Depth {
		block := a.Block(ps, fmt.Sprintf("blocks.%d", i), i, c)
		m.all = append(m.all, block)
		if own, ok := block.(*SynapBlock); ok && c.Architecture == SynapNet {
			m.Blocks = append(m.Blocks, own)
		}
	}
	m.Head = NewHead(ps, c)
	return m
}

// Output is the result of a forward pass.
type Output struct {
	Logits *graph.Node   // [B, 1, C] for classification, [B, T, V] for a language model
	Blocks []BlockOutput // salience and fresh memory bank of each block; none of blocks that are no MemoryBlock
}

// Forward adds the model to g for ids, int32 [B, T]. external holds one memory [B, E, D] a block from earlier chunks,
// or is nil.
func (m *Model) Forward(g *graph.Graph, ids *graph.Node, external []*graph.Node) Output {
	if external == nil {
		return m.ForwardExternal(g, ids, nil)
	}
	all := make([]*External, len(external))
	for i, bank := range external {
		all[i] = &External{Bank: bank}
	}
	return m.ForwardExternal(g, ids, all)
}

// ForwardExternal is Forward with one External a block, or none.
func (m *Model) ForwardExternal(g *graph.Graph, ids *graph.Node, external []*External) Output {
	return m.forward(g, ids, m.positions(g, ids), nil, external)
}

// forward is ForwardExternal with the position of each token given, int32 [B, T] (Embedding.ForwardAt); nil: 0 to T-1.
// A classifier reads the rows of its last block at the places `asked`, int32 [B, Q]; nil: the last one.
func (m *Model) forward(g *graph.Graph, ids, positions, asked *graph.Node, external []*External) Output {
	if external != nil {
		if err := m.CheckMemory(); err != nil {
			graph.Fail("model: external memory: %v", err)
		}
		if len(external) != len(m.all) {
			graph.Fail("model: got external memory for %d blocks, want %d", len(external), len(m.all))
		}
	}
	var x *graph.Node
	if positions == nil {
		x = m.Embedding.Forward(g, ids)
	} else {
		x = m.Embedding.ForwardAt(g, ids, positions)
	}
	var out Output
	for i, b := range m.all {
		want := graph.Shape(x)
		// Unless it is asked at places, a classifier reads nothing but the last token.
		last := i == len(m.all)-1 && !m.Config.LanguageModel() && !m.EveryRow && asked == nil
		if last {
			want = []int{want[0], 1, want[2]}
		}
		if remembers, ok := b.(MemoryBlock); ok {
			var ext *External
			if external != nil {
				ext = external[i]
			}
			o := remembers.ForwardMemory(g, x, ext, last)
			out.Blocks = append(out.Blocks, o)
			x = o.X
		} else {
			x = b.Forward(g, x, last)
		}
		checkShape(fmt.Sprintf("block %d of architecture %s", i, m.Config.Architecture), x, want)
	}
	switch {
	case asked != nil:
		q := graph.Shape(asked)[1]
		x = graph.Gather(g, x, asked, q, q)
	case !m.Config.LanguageModel() && graph.Shape(x)[1] > 1:
		x = LastRow(g, x)
	}
	if m.Config.LanguageModel() || len(m.Blocks) == 0 {
		out.Logits = m.Head.Project(g, x)
	} else {
		out.Logits = m.Head.Classify(g, x, out.Blocks[len(out.Blocks)-1].Bank)
	}
	return out
}

// LastRow is the last row of x [B, T, D], [B, 1, D].
func LastRow(g *graph.Graph, x *graph.Node) *graph.Node {
	return graph.SliceRows(g, x, graph.Shape(x)[1]-1, 1)
}

// Wanted is x, or its last row: what a Block that is asked for the last row makes of its rows.
func Wanted(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	if last {
		return LastRow(g, x)
	}
	return x
}

// Outputs is the width of a row of logits.
func (m *Model) Outputs() int { return m.Config.outputs() }

// Trainer is the model's training graph for one shape: forward, cross-entropy and every gradient.
type Trainer struct {
	Program *graph.Program
	spec    TrainSpec
	loss    *graph.Node
	logits  *graph.Node
	terms   []*graph.Node

	// The graph's inputs, by chunk and as a whole.
	ids, positions, used [][]int32
	asked, labels        []int32

	blocks [][]BlockOutput // of each chunk
}

// Term adds a further term [1] of the training loss to a graph that holds the model's output: a regulariser, an
// auxiliary loss.
type Term func(g *graph.Graph, out Output) *graph.Node

// TrainSpec is what a training graph is made for.
type TrainSpec struct {
	Batch, Tokens int // B, T
	// Questions is the number Q of places of a sample that a classifier is asked at; 0: its last token alone.
	Questions int
	// Positions says that a batch gives the position of every token, in place of 0 … T-1.
	Positions bool
	// Chunks is the number C of chunks that a sample is read in, each with what was written in those before as external
	// memory, through which gradients flow. T must be divisible by it; questions are those of the last chunk. 0, 1: T
	// tokens are read in one pass.
	Chunks int
	// Reads keeps what a memory is told of the chunks, for Trainer.ChunkRead.
	Reads bool
	// KFrac is the share of tokens above the salience threshold; 0: the configuration's.
	KFrac float64
	// SparseAbove is the number of tokens up to which attention is dense; 0: the configuration's.
	SparseAbove int
	// WriteFrac is the share of tokens that are written to memory; 0: the configuration's.
	WriteFrac float64
}

// of is the configuration with what the spec has in its place.
func (s TrainSpec) of(c Config) Config {
	c.KFrac, c.SparseThreshold = cmp.Or(s.KFrac, c.KFrac), cmp.Or(s.SparseAbove, c.SparseThreshold)
	c.EpisodicWriteFrac = cmp.Or(s.WriteFrac, c.EpisodicWriteFrac)
	return c
}

// Written is the number of entries that a block of a model of configuration c writes in each of the graph's chunks.
func (s TrainSpec) Written(c Config) int { return s.of(c).Written(s.Tokens / max(1, s.Chunks)) }

// attend has the graphs that are made until it is called back attend and write as a spec says.
func (m *Model) attend(spec TrainSpec) (restore func()) {
	set := func(c Config) {
		m.Config = c
		for _, b := range m.Blocks {
			b.Attention.KFrac, b.Attention.Threshold, b.Memory.WriteFrac = c.KFrac, c.SparseThreshold, c.EpisodicWriteFrac
		}
	}
	was := m.Config
	set(spec.of(was))
	return func() { set(was) }
}

// Batch is what a training graph computes the gradients of. Rows are one behind the other.
type Batch struct {
	IDs       []int32 // [B, T]
	Labels    []int32 // [B, Q] of a classifier, [B, T] of a language model; graph.Ignore: none
	Asked     []int32 // [B, Q], the places of the questions in the last chunk; nil in a graph without Questions
	Positions []int32 // [B, T]; nil in a graph without Positions
	Kept      []int32 // [B], entries of each earlier chunk's Config.Written that stay; nil in a graph without Chunks
}

// Train compiles the training graph for batches of B samples of T tokens. Labels are one a sample for classification,
// one a token for a language model, which must be of a causal architecture (Config.CheckCausal). What is minimised is
// the sum of the cross-entropy and the terms.
func (m *Model) Train(batch, tokens int, terms ...Term) (*Trainer, error) {
	return m.TrainOn(TrainSpec{Batch: batch, Tokens: tokens}, terms...)
}

// TrainOn is Train for batches of any shape.
func (m *Model) TrainOn(spec TrainSpec, terms ...Term) (*Trainer, error) {
	if err := m.Config.CheckCausal(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return m.gradients(spec, terms...)
}

// Gradients is Train for whoever compares gradients and trains nothing: of every floating-point model.
func (m *Model) Gradients(batch, tokens int, terms ...Term) (*Trainer, error) {
	return m.gradients(TrainSpec{Batch: batch, Tokens: tokens}, terms...)
}

func (m *Model) gradients(spec TrainSpec, terms ...Term) (*Trainer, error) {
	t, g, err := m.trainGraph(graph.Build, spec, terms...)
	if err != nil {
		return nil, err
	}
	t.Program, err = g.Compile()
	return t, err
}

// buildGraph is graph.Build or, for what is only planned, graph.Outline.
type buildGraph func(f func(g *graph.Graph)) (*graph.Graph, error)

func (m *Model) trainGraph(build buildGraph, spec TrainSpec, terms ...Term) (*Trainer, *graph.Graph, error) {
	if m.Packed() {
		return nil, nil, ErrPacked
	}
	defer m.attend(spec)()
	t := &Trainer{spec: spec}
	g, err := build(func(g *graph.Graph) {
		in := inputChunks(g, spec.Batch, spec.Tokens, spec.Chunks, spec.Positions)
		var asked *graph.Node
		if spec.Questions > 0 {
			asked = g.InputInts("asked", spec.Batch, spec.Questions)
			t.asked = g.Ints(asked)
		}
		out, blocks := m.forwardChunks(g, in, asked)
		labels := g.InputInts("labels", graph.Shape(out.Logits)[:2]...)
		t.loss, t.logits = graph.CrossEntropy(g, out.Logits, labels), out.Logits
		t.ids, t.positions, t.used = memoryOf(g, in.ids), memoryOf(g, in.positions), memoryOf(g, in.used)
		t.labels = g.Ints(labels)
		for _, term := range terms {
			t.terms = append(t.terms, term(g, out))
		}
		g.Backward(graph.Sum(g, append([]*graph.Node{t.loss}, t.terms...)...))
		g.Keep(t.loss, t.logits)
		g.Keep(t.terms...)
		if spec.Reads && spec.Chunks > 1 {
			t.blocks = blocks
			for _, o := range slices.Concat(blocks...) {
				g.Keep(o.Bank, o.Salience.Sigma, o.Salience.Top, o.Read.Received)
			}
		}
	})
	return t, g, err
}

// Run computes the gradients of one batch, ids [B, T] row by row, and its cross-entropy, without further terms.
func (t *Trainer) Run(ids, labels []int32) (loss float32, err error) {
	return t.RunBatch(Batch{IDs: ids, Labels: labels})
}

// RunBatch is Run of a batch of any shape, which is that of the graph.
func (t *Trainer) RunBatch(b Batch) (loss float32, err error) {
	n := t.spec.Batch
	tokens, positions, kept := n*t.spec.Tokens, 0, 0
	if t.positions != nil {
		positions = tokens
	}
	if t.used != nil {
		kept = n
	}
	switch {
	case len(b.IDs) != tokens || len(b.Labels) != len(t.labels):
		return 0, fmt.Errorf("model: got %d ids and %d labels, want %d and %d", len(b.IDs), len(b.Labels), tokens,
			len(t.labels))
	case len(b.Asked) != len(t.asked) || len(b.Positions) != positions:
		return 0, fmt.Errorf("model: got %d places of questions and %d positions, want %d and %d", len(b.Asked),
			len(b.Positions), len(t.asked), positions)
	case len(b.Kept) != kept:
		return 0, fmt.Errorf("model: got %d numbers of entries that are kept, want %d", len(b.Kept), kept)
	}
	fillChunks(t.ids, b.IDs, n)
	fillChunks(t.positions, b.Positions, n)
	for i, used := range t.used {
		for k := range used {
			used[k] = int32(i+1) * b.Kept[k]
		}
	}
	copy(t.labels, b.Labels)
	copy(t.asked, b.Asked)
	if err := t.Program.Run(); err != nil {
		return 0, err
	}
	return t.Program.Value(t.loss)[0], nil
}

// Terms are the values of the loss's further terms in the last run.
func (t *Trainer) Terms() []float32 {
	var values []float32
	for _, n := range t.terms {
		values = append(values, t.Program.Value(n)[0])
	}
	return values
}

// Logits are those of the last run.
func (t *Trainer) Logits() []float32 { return t.Program.Value(t.logits) }

// Inference is the model's forward graph for one shape.
type Inference struct {
	Program  *graph.Program
	out      Output
	batch    int
	tokens   int       // T of a sample
	ids      [][]int32 // of each chunk
	external [][]float32
}

// Infer compiles the forward graph for B samples of T tokens with E entries of external memory a block (0: none).
func (m *Model) Infer(batch, tokens, external int) (*Inference, error) {
	return m.infer(batch, tokens, external, 1)
}

// InferChunks compiles the forward graph for B samples of T tokens that are read in chunks, of which everything is kept
// (TrainSpec.Chunks). What it tells besides logits is of the last chunk.
func (m *Model) InferChunks(batch, tokens, chunks int) (*Inference, error) {
	return m.infer(batch, tokens, 0, chunks)
}

func (m *Model) infer(batch, tokens, external, chunks int) (*Inference, error) {
	f, g, err := m.inferenceGraph(graph.Build, batch, tokens, external, chunks)
	if err != nil {
		return nil, err
	}
	f.Program, err = g.Compile()
	return f, err
}

// inferenceGraph has external memory or chunks, and not both.
func (m *Model) inferenceGraph(build buildGraph, batch, tokens, external, chunks int) (*Inference, *graph.Graph,
	error) {
	if external > 0 {
		if err := m.CheckMemory(); err != nil {
			return nil, nil, err
		}
	}
	f := &Inference{batch: batch, tokens: tokens}
	g, err := build(func(g *graph.Graph) {
		in := inputChunks(g, batch, tokens, chunks, false)
		f.ids = memoryOf(g, in.ids)
		if external == 0 {
			for i, used := range memoryOf(g, in.used) {
				for b := range used {
					used[b] = int32((i + 1) * m.Config.Written(tokens/max(1, chunks)))
				}
			}
			f.out, _ = m.forwardChunks(g, in, nil)
		} else {
			var ext []*graph.Node
			for i := range m.all {
				n := g.Input(fmt.Sprintf("external.%d", i), batch, external, m.Config.Dim)
				ext = append(ext, n)
				f.external = append(f.external, g.Floats(n))
			}
			f.out = m.Forward(g, in.ids[0], ext)
		}
		g.Keep(f.out.Logits)
		for _, b := range f.out.Blocks {
			g.Keep(b.Bank, b.Salience.Sigma, b.Salience.Top)
		}
	})
	return f, g, err
}

// Run computes the logits of ids [B, T] with the given external memories, one [B, E, D] a block. The result is valid
// until the next run.
func (f *Inference) Run(ids []int32, external [][]float32) ([]float32, error) {
	if n := f.batch * f.tokens; len(ids) != n || len(external) != len(f.external) {
		return nil, fmt.Errorf("model: got %d ids and %d memories, want %d and %d", len(ids), len(external), n,
			len(f.external))
	}
	fillChunks(f.ids, ids, f.batch)
	for i, e := range external {
		if len(e) != len(f.external[i]) {
			return nil, fmt.Errorf("model: external memory %d has %d values, want %d", i, len(e), len(f.external[i]))
		}
		copy(f.external[i], e)
	}
	if err := f.Program.Run(); err != nil {
		return nil, err
	}
	return f.Program.Value(f.out.Logits), nil
}

// Salience is block i's soft mask [B, T] of the last run.
func (f *Inference) Salience(i int) []float32 { return f.Program.Value(f.out.Blocks[i].Salience.Sigma) }

// Bank is block i's fresh memory bank [B, S, D] of the last run.
func (f *Inference) Bank(i int) []float32 { return f.Program.Value(f.out.Blocks[i].Bank) }

// Top is block i's positions by descending salience, [B, k], of the last run.
func (f *Inference) Top(i int) []int32 { return f.Program.Ints(f.out.Blocks[i].Salience.Top) }
