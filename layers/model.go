package layers

import (
	"fmt"

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
	return m.ForwardAt(g, ids, m.positions(g, ids), external)
}

// ForwardAt is ForwardExternal with the position of each token given, at int32 [B, T] (Embedding.ForwardAt); nil: 0 to
// T-1.
func (m *Model) ForwardAt(g *graph.Graph, ids, at *graph.Node, external []*External) Output {
	if external != nil {
		if err := m.CheckMemory(); err != nil {
			graph.Fail("model: external memory: %v", err)
		}
		if len(external) != len(m.all) {
			graph.Fail("model: got external memory for %d blocks, want %d", len(external), len(m.all))
		}
	}
	var x *graph.Node
	if at == nil {
		x = m.Embedding.Forward(g, ids)
	} else {
		x = m.Embedding.ForwardAt(g, ids, at)
	}
	var out Output
	for i, b := range m.all {
		want := graph.Shape(x)
		last := i == len(m.all)-1 && !m.Config.LanguageModel() && !m.EveryRow // a classifier reads nothing but the last token
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
	if !m.Config.LanguageModel() && graph.Shape(x)[1] > 1 {
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
	ids     []int32
	labels  []int32
	loss    *graph.Node
	logits  *graph.Node
	terms   []*graph.Node
}

// Term adds a further term [1] of the training loss to a graph that holds the model's output: a regulariser, an
// auxiliary loss.
type Term func(g *graph.Graph, out Output) *graph.Node

// Train compiles the training graph for batches of B samples of T tokens. Labels are one a sample for classification,
// one a token for a language model, which must be of a causal architecture (Config.CheckCausal). What is minimised is
// the sum of the cross-entropy and the terms.
func (m *Model) Train(batch, tokens int, terms ...Term) (*Trainer, error) {
	if err := m.Config.CheckCausal(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return m.Gradients(batch, tokens, terms...)
}

// Gradients is Train for whoever compares gradients and trains nothing: of every floating-point model.
func (m *Model) Gradients(batch, tokens int, terms ...Term) (*Trainer, error) {
	t, g, err := m.trainGraph(graph.Build, batch, tokens, terms...)
	if err != nil {
		return nil, err
	}
	t.Program, err = g.Compile()
	return t, err
}

// buildGraph is graph.Build or, for what is only planned, graph.Outline.
type buildGraph func(f func(g *graph.Graph)) (*graph.Graph, error)

func (m *Model) trainGraph(build buildGraph, batch, tokens int, terms ...Term) (*Trainer, *graph.Graph, error) {
	if m.Packed() {
		return nil, nil, ErrPacked
	}
	t := &Trainer{}
	g, err := build(func(g *graph.Graph) {
		ids := g.InputInts("ids", batch, tokens)
		out := m.Forward(g, ids, nil)
		labels := g.InputInts("labels", graph.Shape(out.Logits)[:2]...)
		t.loss, t.logits = graph.CrossEntropy(g, out.Logits, labels), out.Logits
		t.ids, t.labels = g.Ints(ids), g.Ints(labels)
		for _, term := range terms {
			t.terms = append(t.terms, term(g, out))
		}
		g.Backward(graph.Sum(g, append([]*graph.Node{t.loss}, t.terms...)...))
		g.Keep(t.loss, t.logits)
		g.Keep(t.terms...)
	})
	return t, g, err
}

// Run computes the gradients of one batch, ids [B, T] row by row, and its cross-entropy, without further terms.
func (t *Trainer) Run(ids, labels []int32) (loss float32, err error) {
	if len(ids) != len(t.ids) || len(labels) != len(t.labels) {
		return 0, fmt.Errorf("model: got %d ids and %d labels, want %d and %d", len(ids), len(labels), len(t.ids),
			len(t.labels))
	}
	copy(t.ids, ids)
	copy(t.labels, labels)
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
	ids      []int32
	external [][]float32
}

// Infer compiles the forward graph for B samples of T tokens with E entries of external memory a block (0: none).
func (m *Model) Infer(batch, tokens, external int) (*Inference, error) {
	f, g, err := m.inferenceGraph(graph.Build, batch, tokens, external)
	if err != nil {
		return nil, err
	}
	f.Program, err = g.Compile()
	return f, err
}

func (m *Model) inferenceGraph(build buildGraph, batch, tokens, external int) (*Inference, *graph.Graph, error) {
	if external > 0 {
		if err := m.CheckMemory(); err != nil {
			return nil, nil, err
		}
	}
	f := &Inference{}
	g, err := build(func(g *graph.Graph) {
		ids := g.InputInts("ids", batch, tokens)
		var ext []*graph.Node
		for i := range m.all {
			if external > 0 {
				n := g.Input(fmt.Sprintf("external.%d", i), batch, external, m.Config.Dim)
				ext = append(ext, n)
				f.external = append(f.external, g.Floats(n))
			}
		}
		f.out = m.Forward(g, ids, ext)
		f.ids = g.Ints(ids)
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
	if len(ids) != len(f.ids) || len(external) != len(f.external) {
		return nil, fmt.Errorf("model: got %d ids and %d memories, want %d and %d", len(ids), len(external), len(f.ids),
			len(f.external))
	}
	copy(f.ids, ids)
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
