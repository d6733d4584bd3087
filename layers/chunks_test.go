package layers

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// readInTurn are the logits of the last of C chunks that a Reader reads one after the other, where the first kept
// entries of each chunk's bank are the external memory of those after it, and the chunk's further rows are not: padding
// and what is evicted.
func readInTurn(t *testing.T, m *Model, ids []int32, chunks, kept int) []float32 {
	t.Helper()
	d, tokens := m.Config.Dim, len(ids)/chunks
	capacity := max(1, chunks*kept)
	r, err := m.Reader(tokens, slices.Repeat([]int{capacity}, m.Config.Depth), 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Program.Close()
	var logits []float32
	for c, part := range slices.Collect(slices.Chunk(ids, tokens)) {
		for i := range m.all {
			r.SetRows(i, c*kept)
		}
		if logits, err = r.Run(part); err != nil {
			t.Fatal(err)
		}
		for i := range m.all {
			copy(r.External(i)[c*kept*d:], r.Bank(i)[:kept*d])
		}
	}
	return slices.Clone(logits)
}

// chunkTraining is the training graph of samples read in chunks.
func chunkTraining(t *testing.T, m *Model, spec TrainSpec) *Trainer {
	t.Helper()
	step, err := m.gradients(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(step.Program.Close)
	return step
}

// Training reads what a stream reads: the entries that each sample keeps of every chunk before, in their order, and
// neither padding (2 or 3 of 5 slots are written) nor what is evicted. What is learnt from is the last chunk.
func TestChunksAreReadAsAStreamIs(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"dense": func(*Config) {}, "sparse": func(c *Config) { c.SparseThreshold = 10 },
		"language model": func(c *Config) { c.NumClasses = 0 }, "all slots": func(c *Config) { c.EpisodicWriteFrac = 1 },
	} {
		c := tiny()
		change(&c)
		m := scrambled(t, c)
		for _, chunks := range []int{2, 4} {
			const batch, tokens = 3, 48
			written := c.Written(tokens / chunks)
			kept := []int32{int32(written), 1, 0}
			ids, labels := randomBatch(batch, tokens, tiny())
			if c.LanguageModel() {
				labels = make([]int32, batch*tokens/chunks)
			}
			step := chunkTraining(t, m, TrainSpec{Batch: batch, Tokens: tokens, Chunks: chunks})
			if _, err := step.RunBatch(Batch{IDs: ids, Labels: labels, Kept: kept}); err != nil {
				t.Fatal(err)
			}
			infer, err := m.InferChunks(batch, tokens, chunks)
			if err != nil {
				t.Fatal(err)
			}
			all, err := infer.Run(ids, nil)
			if err != nil {
				t.Fatal(err)
			}
			n := len(all) / batch
			for b, k := range kept {
				what, own := fmt.Sprintf("%s, %d chunks, %d kept", name, chunks, k), ids[b*tokens:(b+1)*tokens]
				near(t, what, step.Logits()[b*n:(b+1)*n], readInTurn(t, m, own, chunks, int(k)), 1e-5)
				near(t, what+": inference", all[b*n:(b+1)*n], readInTurn(t, m, own, chunks, written), 1e-5)
			}
			if same := step.Logits()[2*n:]; slices.Equal(same, all[2*n:]) {
				t.Errorf("%s: what is kept makes no difference", name)
			}
			infer.Program.Close()
		}
	}
}

// A share of tokens that a graph writes in place of the configuration's is all that is different: the model stays as it
// is, and the graph is that of a model with that share.
func TestWhatAGraphWritesInPlaceOfTheConfigurations(t *testing.T) {
	const batch, tokens, chunks = 2, 48, 2
	spec := TrainSpec{Batch: batch, Tokens: tokens, Chunks: chunks}
	few, many := tiny(), tiny()
	few.EpisodicWriteFrac, many.EpisodicWriteFrac = 0.05, 0.2
	kept := []int32{int32(many.Written(tokens / chunks)), 2}
	ids, labels := randomBatch(batch, tokens, few)
	run := func(m *Model, spec TrainSpec) *Trainer {
		step := chunkTraining(t, m, spec)
		if _, err := step.RunBatch(Batch{IDs: ids, Labels: labels, Kept: kept}); err != nil {
			t.Fatal(err)
		}
		return step
	}
	want := run(scrambled(t, many), spec)
	spec.WriteFrac = 0.2
	m := scrambled(t, few)
	got := run(m, spec)
	if !slices.Equal(got.Logits(), want.Logits()) {
		t.Errorf("logits are %v, of a model with that share %v", got.Logits(), want.Logits())
	}
	if n := spec.Written(few); n != int(kept[0]) {
		t.Errorf("%d entries are written, want %d", n, kept[0])
	}
	if m.Config.EpisodicWriteFrac != 0.05 || m.Blocks[0].Memory.Writes(tokens) != few.Written(tokens) {
		t.Errorf("the model now writes %v", m.Config.EpisodicWriteFrac)
	}
}

// A chunk's positions and questions are its own.
func TestPositionsAndQuestionsOfChunks(t *testing.T) {
	m := scrambled(t, tiny())
	const batch, tokens, chunks = 2, 24, 2
	ids, _ := randomBatch(batch, tokens, m.Config)
	positions := make([]int32, batch*tokens)
	for i := range positions {
		positions[i] = int32(i % (tokens / chunks))
	}
	kept := []int32{2, 1}
	plain := chunkTraining(t, m, TrainSpec{Batch: batch, Tokens: tokens, Chunks: chunks})
	at := chunkTraining(t, m, TrainSpec{Batch: batch, Tokens: tokens, Chunks: chunks, Positions: true, Questions: 2})
	if _, err := plain.RunBatch(Batch{IDs: ids, Labels: []int32{1, 2}, Kept: kept}); err != nil {
		t.Fatal(err)
	}
	if _, err := at.RunBatch(Batch{IDs: ids, Labels: []int32{1, 3, 2, 3}, Asked: []int32{11, 4, 11, 0},
		Positions: positions, Kept: kept}); err != nil {
		t.Fatal(err)
	}
	for b := range batch {
		near(t, "the last question", at.Logits()[2*b*7:(2*b+1)*7], plain.Logits()[b*7:(b+1)*7], 1e-5)
	}
	positions[tokens] = 9
	if _, err := at.RunBatch(Batch{IDs: ids, Labels: []int32{1, 3, 2, 3}, Asked: []int32{11, 4, 11, 0},
		Positions: positions, Kept: kept}); err != nil {
		t.Fatal(err)
	}
	near(t, "the first sample", at.Logits()[:7], plain.Logits()[:7], 1e-5)
	if slices.Equal(at.Logits()[14:21], plain.Logits()[7:]) {
		t.Error("the positions of the second sample's first chunk make no difference")
	}
}

// Along each parameter's gradient the loss rises by the square of its length, in float32 central differences: what
// flows through the banks is whole.
func TestGradientsThroughChunks(t *testing.T) {
	m := scrambled(t, tiny())
	const batch, tokens, chunks = 2, 36, 3
	step := chunkTraining(t, m, TrainSpec{Batch: batch, Tokens: tokens, Chunks: chunks})
	ids, labels := randomBatch(batch, tokens, m.Config)
	loss := func() float64 {
		x, err := step.RunBatch(Batch{IDs: ids, Labels: labels, Kept: []int32{2, 1}})
		if err != nil {
			t.Fatal(err)
		}
		return float64(x)
	}
	loss()
	for _, p := range m.Params.All() {
		loss()
		gradient, was, square := slices.Clone(step.Program.Grad(p)), slices.Clone(p.Data()), 0.0
		for _, x := range gradient {
			square += float64(x) * float64(x)
		}
		if strings.HasSuffix(p.Name, "salience_mlp.2.bias") && square < 1e-9 {
			continue // it moves all scores alike, and the threshold with them
		}
		at := func(h float64) float64 {
			for i, x := range gradient {
				p.Data()[i] = was[i] + float32(h*float64(x))
			}
			return loss()
		}
		h := 4e-3 / math.Sqrt(square)
		slope := (at(h) - at(-h)) / (2 * h)
		copy(p.Data(), was)
		if math.Abs(slope-square) > 0.02*square+1e-4*math.Sqrt(square) {
			t.Errorf("%s: the loss rises by %g, want %g", p.Name, slope, square)
		}
	}
}

// In a model of one block an entry is its token's alone: a gradient reaches the tokens of the first chunk whose entries
// are kept, through the bank that the second one reads, and no others.
func TestGradientsReachWhatIsKept(t *testing.T) {
	c := tiny()
	c.Depth, c.VocabSize = 1, 64
	m := scrambled(t, c)
	const tokens, half = 40, 20 // 4 are written
	ids := make([]int32, tokens)
	for i := range ids {
		ids[i] = int32(i) // no token twice
	}
	infer, err := m.Infer(1, half, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := infer.Run(ids[:half], nil); err != nil {
		t.Fatal(err)
	}
	written := infer.Top(0)[:c.Written(half)]
	step := chunkTraining(t, m, TrainSpec{Batch: 1, Tokens: tokens, Chunks: 2})
	for kept := range len(written) + 1 {
		if _, err := step.RunBatch(Batch{IDs: ids, Labels: []int32{3}, Kept: []int32{int32(kept)}}); err != nil {
			t.Fatal(err)
		}
		gradient := step.Program.Grad(m.Embedding.Tokens.Param)
		for token := range int32(half) {
			row := gradient[int(token)*c.Dim : (int(token)+1)*c.Dim]
			reached := slices.ContainsFunc(row, func(x float32) bool { return x != 0 })
			if want := slices.Contains(written[:kept], token); reached != want {
				t.Errorf("%d of %v kept: a gradient of token %d: %t, want %t", kept, written, token, reached, want)
			}
		}
	}
}

// Samples read in chunks take about the memory of one pass: what is kept of earlier chunks for the backward pass is
// what the pass has of the same tokens. The plan is what the compiled program takes.
func TestThePlanOfChunks(t *testing.T) {
	m := newModel(t, tiny())
	planned := func(chunks int) int {
		plan, err := m.PlanTrain(TrainSpec{Batch: 4, Tokens: 48, Chunks: chunks})
		if err != nil {
			t.Fatal(err)
		}
		return plan.Arena
	}
	for _, chunks := range []int{2, 3} {
		step := chunkTraining(t, m, TrainSpec{Batch: 4, Tokens: 48, Chunks: chunks})
		if got := step.Program.ArenaBytes(); got != planned(chunks) || got > planned(1)*5/4 {
			t.Errorf("%d chunks take %d bytes, planned are %d, of one pass %d", chunks, got, planned(chunks), planned(1))
		}
		infer, err := m.InferChunks(4, 48, chunks)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := m.PlanInferChunks(4, 48, chunks)
		if err != nil || plan.Arena != infer.Program.ArenaBytes() {
			t.Errorf("inference: planned %+v, %v, the program has %d", plan, err, infer.Program.ArenaBytes())
		}
		infer.Program.Close()
	}
}

func TestChunksRefuse(t *testing.T) {
	m := newModel(t, tiny())
	step := chunkTraining(t, m, TrainSpec{Batch: 2, Tokens: 24, Chunks: 2})
	ids, labels := randomBatch(2, 24, m.Config)
	c := tiny()
	c.Architecture = Llama
	llama := newModel(t, c)
	run := func(kept ...int32) error {
		_, err := step.RunBatch(Batch{IDs: ids, Labels: labels, Kept: kept})
		return err
	}
	of := func(m *Model, tokens, chunks int) error {
		_, err := m.TrainOn(TrainSpec{Batch: 1, Tokens: tokens, Chunks: chunks})
		return err
	}
	for want, err := range map[string]error{
		"got 0 numbers of entries that are kept, want 2":                       run(),
		"3 rows of external memory 1 are said to be in use: it must be from 0": run(2, 3),
		"-1 rows of external memory 0 are said to be in use":                   run(-1, 2),
		"25 tokens cannot be read in 2 chunks of equal length":                 of(m, 25, 2),
		"whose blocks have no memory from chunk to chunk":                      of(llama, 24, 2),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := c.CheckMemory(); err == nil {
		t.Error("llama has a memory")
	}
	if err := tiny().CheckMemory(); err != nil {
		t.Error(err)
	}
}
