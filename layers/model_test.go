package layers

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
)

// A language model has a row of V logits for each token and, if it is causal, learns to predict the next one.
func TestLanguageModelLearns(t *testing.T) {
	c := tiny()
	c.Architecture, c.NumClasses = Llama, 0
	m := newModel(t, c)
	if m.Outputs() != c.VocabSize {
		t.Fatalf("%d outputs, want the vocabulary's %d", m.Outputs(), c.VocabSize)
	}
	const batch, tokens = 2, 12
	step, err := m.Train(batch, tokens)
	if err != nil {
		t.Fatal(err)
	}
	opt := graph.NewAdamW(0.9, 0.95, 1, &graph.Group{LR: 1e-2, Params: m.Params.All()})
	var ids, next []int32 // 0 1 2 3 0 1 2 3 …, which the next token follows from
	for i := range batch * tokens {
		ids, next = append(ids, int32(i%4)), append(next, int32((i+1)%4))
	}
	first, last := float32(0), float32(0)
	for i := range 40 {
		loss, err := step.Run(ids, next)
		if err != nil {
			t.Fatal(err)
		}
		if err := opt.Step(step.Program.Gradients()); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = loss
		}
		last = loss
	}
	if got := len(step.Logits()); got != batch*tokens*c.VocabSize {
		t.Errorf("%d logits, want [%d, %d, %d]", got, batch, tokens, c.VocabSize)
	}
	if math.Abs(float64(first)-math.Log(float64(c.VocabSize))) > 0.1 || last > 0.1 {
		t.Errorf("the loss goes from %.3f to %.3f, want from about log %d = %.3f to below 0.1", first, last, c.VocabSize,
			math.Log(float64(c.VocabSize)))
	}
}

// A language model whose tokens see those that they are to predict is refused by every trainer, and still runs.
func TestOnlyCausalLanguageModelsAreTrained(t *testing.T) {
	for _, name := range BuiltinArchitectures() {
		c := tiny()
		a, err := ParseArchitecture(name)
		if err != nil {
			t.Fatal(err)
		}
		c.Architecture, c.NumClasses = a, 0
		m := newModel(t, c)
		switch _, err := m.Train(1, 12); {
		case a.Causal() && err != nil:
			t.Errorf("%s: %v", name, err)
		case !a.Causal() && (err == nil || !strings.Contains(err.Error(), "architecture "+name+" is not causal") ||
			!strings.Contains(err.Error(), "attention and memory")):
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := m.Infer(1, 12, 0); err != nil {
			t.Errorf("%s does not run: %v", name, err)
		}
		c.NumClasses = 4
		if err := c.CheckCausal(); err != nil {
			t.Errorf("%s with classes: %v", name, err)
		}
	}
}

// What every block says of its tokens: a soft mask in (0, 1), positions by descending salience, and the bank that holds
// the first of them, zero padded.
func TestInferenceTellsOfTheMemory(t *testing.T) {
	c := tiny() // 0.2·12 = 2 writes to 5 slots
	m := scrambled(t, c)
	const batch, tokens, writes = 2, 12, 2
	f, err := m.Infer(batch, tokens, 0)
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := randomBatch(batch, tokens, c)
	logits, err := f.Run(ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(logits) != batch*c.NumClasses {
		t.Errorf("%d logits, want [%d, 1, %d]", len(logits), batch, c.NumClasses)
	}
	for i := range m.Blocks {
		sigma, top, bank := f.Salience(i), f.Top(i), f.Bank(i)
		if len(sigma) != batch*tokens || len(bank) != batch*c.EpisodicSlots*c.Dim {
			t.Fatalf("block %d: %d saliences, %d bank values", i, len(sigma), len(bank))
		}
		k := len(top) / batch
		for b := range batch {
			row, positions := sigma[b*tokens:(b+1)*tokens], top[b*k:(b+1)*k]
			for j := 1; j < k; j++ {
				if row[positions[j-1]] < row[positions[j]] {
					t.Errorf("block %d row %d: position %d comes before the more salient %d", i, b, positions[j-1], positions[j])
				}
			}
			if best := slices.Max(row); row[positions[0]] != best || best > 1 || slices.Min(row) < 0 {
				t.Errorf("block %d row %d: first position has salience %g of %v", i, b, row[positions[0]], row)
			}
			slots := bank[b*c.EpisodicSlots*c.Dim:]
			for j := range c.EpisodicSlots * c.Dim {
				if empty := j >= writes*c.Dim; empty && slots[j] != 0 {
					t.Fatalf("block %d row %d: slot %d is written, want %d writes", i, b, j/c.Dim, writes)
				}
			}
		}
	}
}

// A batch that does not fit the compiled shape is an error, not a wrong result.
func TestRunRefuses(t *testing.T) {
	c := tiny()
	m := newModel(t, c)
	step, err := m.Train(2, 10)
	if err != nil {
		t.Fatal(err)
	}
	inf, err := m.Infer(1, 10, 3)
	if err != nil {
		t.Fatal(err)
	}
	ids, labels := randomBatch(2, 10, c)
	bank := make([]float32, 3*c.Dim)
	alien, worse := slices.Clone(ids), slices.Clone(labels)
	alien[13], worse[1] = int32(c.VocabSize), int32(c.NumClasses)
	for want, run := range map[string]func() error{
		"got 19 ids and 2 labels, want 20 and 2": func() error { _, err := step.Run(ids[1:], labels); return err },
		"got 20 ids and 1 labels, want 20 and 2": func() error { _, err := step.Run(ids, labels[1:]); return err },
		"token id 40 at row 1, position 3":       func() error { _, err := step.Run(alien, labels); return err },
		"label 7 of row 1 is outside 0..6":       func() error { _, err := step.Run(ids, worse); return err },
		"got 10 ids and 1 memories, want 10 and 2": func() error {
			_,
				err := inf.Run(ids[:10], [][]float32{bank})
			return err
		},
		"got 10 ids and 0 memories, want 10 and 2": func() error { _, err := inf.Run(ids[:10], nil); return err },
		"external memory 1 has 53 values, want 54": func() error {
			_,
				err := inf.Run(ids[:10], [][]float32{bank, bank[1:]})
			return err
		},
		"got external memory for 1 blocks, want 2": func() error { _, err := withMemories(m, 1); return err },
		"every dimension must be at least 1":       func() error { _, err := m.Infer(0, 10, 0); return err },
		"position":                                 func() error { _, err := m.Train(1, c.MaxLen+1); return err },
		"got external memory for 3 blocks, want 2": func() error { _, err := withMemories(m, 3); return err },
	} {
		if err := run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant …%s", err, want)
		}
	}
	// An error leaves the program usable.
	if _, err := step.Run(ids, labels); err != nil {
		t.Error(err)
	}
}

func withMemories(m *Model, n int) (*graph.Graph, error) {
	return graph.Build(func(g *graph.Graph) {
		var ext []*graph.Node
		for range n {
			ext = append(ext, g.Input("e", 1, 2, m.Config.Dim))
		}
		m.Forward(g, g.InputInts("ids", 1, 8), ext)
	})
}

// Training steps leave nothing behind on the heap.
func TestTrainingDoesNotGrowTheHeap(t *testing.T) {
	c := tiny()
	m := newModel(t, c)
	step, err := m.Train(2, 32)
	if err != nil {
		t.Fatal(err)
	}
	opt := graph.NewAdamW(0.9, 0.95, 1, &graph.Group{LR: 1e-3, Params: m.Params.All()})
	ids, labels := randomBatch(2, 32, c)
	heapAfter := func(steps int) uint64 {
		for range steps {
			if _, err := step.Run(ids, labels); err != nil {
				t.Fatal(err)
			}
			if err := opt.Step(step.Program.Gradients()); err != nil {
				t.Fatal(err)
			}
		}
		return heap()
	}
	before := heapAfter(10)
	after := heapAfter(60)
	const bound = 64 << 10 // one leaked [2, 32, 18] tensor a step would be 276 KB
	if after > before+bound {
		t.Errorf("the heap grew from %d to %d bytes in 60 steps", before, after)
	}
}

// A program that nothing refers to any more is freed, closed or not.
func TestProgramsAreFreed(t *testing.T) {
	m := newModel(t, tiny())
	heapAfter := func(programs int) uint64 {
		for range programs {
			if _, err := m.Train(2, 32); err != nil {
				t.Fatal(err)
			}
		}
		return heap()
	}
	before := heapAfter(2)
	after := heapAfter(10)
	const bound = 512 << 10 // a program takes about 800 KB
	if after > before+bound {
		t.Errorf("the heap grew from %d to %d bytes with 10 programs", before, after)
	}
}

// ForwardAt looks up the positions that it is given, of a sequence longer than the table too.
func TestEmbeddingAtGivenPositions(t *testing.T) {
	ps := NewParams(3)
	l := NewEmbedding(ps, Config{VocabSize: 5, MaxLen: 4, Dim: 2})
	var x *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		ids, at := g.InputInts("ids", 1, 6), g.InputInts("at", 1, 6)
		copy(g.Ints(ids), []int32{0, 1, 2, 3, 4, 0})
		copy(g.Ints(at), []int32{3, 2, 1, 0, 0, 3})
		x = l.ForwardAt(g, ids, at)
		g.Keep(x)
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	tokens, positions := l.Tokens.Param.Data(), l.Positions.Param.Data()
	want := []float32{
		tokens[0] + positions[6], tokens[1] + positions[7], tokens[2] + positions[4], tokens[3] + positions[5],
		tokens[4] + positions[2], tokens[5] + positions[3], tokens[6] + positions[0], tokens[7] + positions[1],
		tokens[8] + positions[0], tokens[9] + positions[1], tokens[0] + positions[6], tokens[1] + positions[7],
	}
	if got := p.Value(x); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
