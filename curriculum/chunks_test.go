package curriculum

import (
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// chunked is the tiny run with a stage in three chunks, of questions that lie anywhere, and one in two, longer than the
// model's positions are; two entries of a chunk of 20 tokens are written, in training five.
func chunked() Config {
	c := staged()
	c.Stage = []Stage{
		{Context: 60, Chunks: 3, Epochs: 1, RandomOffset: true, WriteFrac: 0.25, Mixture: []tasks.Weight{
			{Task: "niah_multi_key", Share: 1, Needles: 2, Questions: 6}}},
		{Context: 48, Epochs: 1, Fresh: true},
	}
	c.Chunks, c.Model.EpisodicWriteFrac = 2, 0.125
	return c
}

// What a run in chunks draws for a step depends on nothing but the step: stopped anywhere and resumed, it ends in the
// same bytes.
func TestRunsInChunksContinueExactly(t *testing.T) {
	whole := begin(t, chunked())
	want := finished(t, whole)
	for _, at := range []int{0, 2, 4, 6} {
		r := begin(t, chunked())
		stopped(t, r, at)
		if finished(t, resumed(t, r.CheckpointPath)) != want {
			t.Errorf("stopped after step %d, it ends in other bytes", at)
		}
	}
	if s := whole.Config.Stages(); s[0].Chunks != 3 || s[1].Chunks != 2 || s[1].Chunk() != 24 {
		t.Errorf("%+v", s)
	}
}

// The numbers of entries that are kept are from 1 to all, each as often, and others at each step.
func TestEveryBudgetIsDrawn(t *testing.T) {
	source := tasks.Seeded(1).For(tasks.Training, 0)
	count := map[int32]int{}
	for step := range 500 {
		for _, k := range source.Kept(step, 8, 5, 0) {
			count[k]++
		}
	}
	for k := int32(1); k <= 5; k++ {
		if n := count[k]; n < 700 || n > 900 {
			t.Errorf("%d of 5 entries are kept %d times of 4000", k, n)
		}
	}
	if len(count) != 5 {
		t.Errorf("kept are %v", count)
	}
	for least, from := range map[float64]int32{0.01: 1, 0.2: 1, 0.5: 3, 1: 5} {
		kept := source.Kept(7, 200, 5, least)
		if lo, hi := slices.Min(kept), slices.Max(kept); lo != from || hi != 5 {
			t.Errorf("with at least %g of 5 entries %d to %d are kept, want %d to 5", least, lo, hi, from)
		}
	}
	if other := tasks.Seeded(1).For(tasks.Training, 1); slices.Equal(source.Kept(3, 50, 5, 0), source.Kept(4, 50, 5, 0)) ||
		slices.Equal(source.Kept(3, 50, 5, 0), other.Kept(3, 50, 5, 0)) ||
		!slices.Equal(source.Kept(3, 50, 5, 0), source.Kept(3, 50, 5, 0)) {
		t.Error("the numbers do not depend on step and stage alone")
	}
}

// The questions that are learnt from are those of the last chunk, counted from its first token; the last one is first.
func TestQuestionsOfTheLastChunk(t *testing.T) {
	sample := tasks.Sample{IDs: make([]int32, 30), Label: 7, Asked: []tasks.Question{{At: 5, Label: 1}, {At: 20, Label: 2},
		{At: 26, Label: 3}}}
	b := collate([]tasks.Sample{sample}, layers.TrainSpec{Batch: 2, Tokens: 30, Questions: 4, Chunks: 3})
	const none = int32(graph.Ignore)
	if want := []int32{9, 0, 6, 9, 9, 9, 9, 9}; !slices.Equal(b.Asked, want) {
		t.Errorf("asked at %v, want %v", b.Asked, want)
	}
	if want := []int32{7, 2, 3, none, none, none, none, none}; !slices.Equal(b.Labels, want) {
		t.Errorf("labels %v, want %v", b.Labels, want)
	}
}

// A stage in chunks is evaluated in chunks, which its model may read where it has no positions for one pass.
func TestChunksAreEvaluatedAsChunks(t *testing.T) {
	c := chunked()
	r := begin(t, c)
	finished(t, r)
	s := r.stages[1]
	asked, err := tasks.Mixture(c.EvalSamples, c.params(s.Context), c.draw().For(tasks.HeldOut, 1), s.Mixture)
	if err != nil {
		t.Fatal(err)
	}
	infer, err := r.Model.InferChunks(len(asked), s.Context, s.Chunks)
	if err != nil {
		t.Fatal(err)
	}
	ids, labels := Collate(asked, len(asked))
	logits, err := infer.Run(ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	correct, n := 0, r.Model.Outputs()
	for i, label := range labels {
		if Argmax(logits[i*n:(i+1)*n]) == int(label) {
			correct++
		}
	}
	if got := r.History.Evaluations[1].Overall; got.N != len(asked) || got.Correct != correct {
		t.Errorf("evaluated to %d of %d, want %d of %d", got.Correct, got.N, correct, len(asked))
	}
	if _, err := EvaluateContext(t.Context(), r.Model, asked, 4); err == nil {
		t.Error("48 tokens were read in one pass with 40 positions")
	}
}

func TestValidateChunks(t *testing.T) {
	if err := chunked().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"stage.1.chunks is 7: it must divide the context, and context is 60: give another of the two": func(c *Config) {
			c.Stage[0].Chunks = 7
		},
		"stage.1.chunks is 10: a chunk has at least 8 tokens, and context is 60: give at most 7, or": func(c *Config) {
			c.Stage[0].Chunks = 10
		},
		"stage.2.write_frac is 1.5: it must be from 0 to 1": func(c *Config) { c.Stage[1].WriteFrac = 1.5 },
		"stage.1.keep_frac is 1.5: it must be from 0 to 1":  func(c *Config) { c.Stage[0].KeepFrac = 1.5 },
		"stage.2.keep_frac is 0.5: a stage of one pass keeps nothing for later: leave it out, or give chunks": func(
			c *Config) {
			c.Stage[1].KeepFrac, c.Stage[1].Chunks, c.Stage[1].Context = 0.5, 1, 40
		},
		"stage.1.write_frac is 0.25: architecture em_llm writes what its model says: leave it out": func(c *Config) {
			c.Model.Architecture, c.Chunks, c.Stage[0].Context, c.Stage[0].Chunks = layers.EMLLM, 1, 24, 1
		},
		"stage.1.chunks is -1: it must be from 0": func(c *Config) { c.Stage[0].Chunks = -1 },
		"stage.1.chunks is 2: context 88 makes chunks of 44 tokens, and the model has 40 positions: give at least 3": func(
			c *Config) {
			c.Stage[0].Context, c.Stage[0].Chunks = 88, 2
		},
		"classifier is true: it learns from what later chunks read, and no stage is read in chunks: give chunks, too": func(
			c *Config) {
			c.Classifier, c.Stage, c.Curriculum, c.Chunks = true, nil, []int{24}, 0
		},
		"stage.1.context is 60: it must be from 8 to the model's max_len 40": func(c *Config) { c.Stage[0].Chunks = 1 },
		"chunks is 2: it must divide the context, and curriculum is 33": func(c *Config) {
			c.Stage, c.Curriculum = nil, []int{24, 33}
		},
		"stage.1.chunks is 3: the model is of architecture llama, whose blocks have no memory from chunk to chunk": func(
			c *Config) {
			c.Model.Architecture, c.Stage[0].Mixture = layers.Llama, nil
		},
		"chunks is 2: a run's own data are read in one pass: leave it out": func(c *Config) {
			c.Stage, c.Curriculum, c.Data = nil, []int{24}, &Data{Train: []string{"a.jsonl"}}
		},
	} {
		c := chunked()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A retention classifier that learns along learns what is read later, and leaves the model as it is without. A run with
// one that was stopped and resumed ends in the same bytes.
func TestAClassifierLearnsAlong(t *testing.T) {
	alone := begin(t, chunked())
	finished(t, alone)
	c := chunked()
	c.Classifier = true
	whole := begin(t, c)
	want := finished(t, whole)
	for i, p := range whole.Model.Params.All() {
		if !slices.Equal(p.Data(), alone.Model.Params.All()[i].Data()) {
			t.Fatalf("%s is another with a classifier", p.Name)
		}
	}
	for i, s := range whole.History.Steps {
		if plain := alone.History.Steps[i]; s.Classifier <= 0 || plain.Classifier != 0 || s.Loss != plain.Loss ||
			s.GradNorm != plain.GradNorm {
			t.Errorf("step %d: %+v with a classifier, %+v without", i+1, s, plain)
		}
	}
	for _, at := range []int{0, 3, 5} {
		r := begin(t, c)
		stopped(t, r, at)
		again := resumed(t, r.CheckpointPath)
		if finished(t, again) != want {
			t.Errorf("stopped after step %d, it ends in other bytes", at)
		}
		for i, p := range again.Classifier.Params() {
			if !slices.Equal(p.Data(), whole.Classifier.Params()[i].Data()) {
				t.Errorf("stopped after step %d, the classifier's %s is another", at, p.Name)
			}
		}
	}
}

// After some steps the classifier knows more of entries that it has not seen than that 30% of them are positive, which
// leaves a cross-entropy of 0.611.
func TestTheClassifierKnowsWhatIsRead(t *testing.T) {
	c := chunked()
	c.Classifier, c.LR, c.Model.EpisodicWriteFrac, c.Model.EpisodicSlots = true, 1e-2, 0.5, 8
	c.Stage = []Stage{{Context: 48, Fresh: true, Epochs: 15}}
	r := begin(t, c)
	finished(t, r)
	last := 0.0
	for _, s := range r.History.Steps[len(r.History.Steps)-10:] {
		last += s.Classifier / 10
	}
	if last > 0.56 {
		t.Errorf("the classifier's loss is %.3f", last)
	}
}
