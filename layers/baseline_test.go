package layers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
)

// baselines lists the architectures of this package but SynapNet.
func baselines() []Architecture {
	var all []Architecture
	for _, name := range BuiltinArchitectures()[1:] {
		all = append(all, Architecture(name))
	}
	return all
}

// tinyBaseline is tiny in another architecture.
func tinyBaseline(a Architecture) Config {
	c := tiny()
	c.Architecture, c.Depth = a, 3
	return c
}

func forBaselines(t *testing.T, f func(t *testing.T, c Config)) {
	t.Helper()
	for _, a := range baselines() {
		t.Run(a.String(), func(t *testing.T) { f(t, tinyBaseline(a)) })
	}
}

// samples are random token ids [B, T] and labels, one a sample, or one a token for a language model.
func samples(c Config, batch, tokens int) (ids, labels []int32) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range batch * tokens {
		ids = append(ids, rng.Int32N(int32(c.VocabSize)))
	}
	n := batch
	if c.LanguageModel() {
		n = batch * tokens
	}
	for range n {
		labels = append(labels, rng.Int32N(int32(c.outputs())))
	}
	return ids, labels
}

// Every baseline has the parameters of the reference within 5%, and its vocabulary, positions, classes and heads.
func TestMatchedConfig(t *testing.T) {
	reference := Reference()
	for _, a := range baselines() {
		c, err := MatchedConfig(a, reference)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t, c)
		if n, want := m.Params.Count(), 8_714_950; math.Abs(float64(n-want)) > 0.05*float64(want) || n != c.Parameters() {
			t.Errorf("%s: %d parameters (Costs has %d), want within 5%% of %d: %+v", a, n, c.Parameters(), want, c)
		}
		if c.Architecture != a || c.VocabSize != 4096 || c.MaxLen != 8192 || c.NumClasses != 64 || c.Heads != 6 {
			t.Errorf("%s: %+v", a, c)
		}
		if again, err := MatchedConfig(a, c); err != nil || !again.Equal(c) {
			t.Errorf("%s: matched to itself it is %+v, %v", a, again, err)
		}
	}
}

func TestMatchedConfigRefusals(t *testing.T) {
	if _, err := MatchedConfig("lama", Reference()); err == nil || !strings.Contains(err.Error(), `"lama"`) ||
		!strings.Contains(err.Error(), "synapnet, llama") {
		t.Errorf("unknown architecture: got %v", err)
	}
	c := Reference()
	c.Dim = -1
	if _, err := MatchedConfig(Llama, c); err == nil || !strings.Contains(err.Error(), "dim is -1") {
		t.Errorf("bad reference: got %v", err)
	}
	c = tiny()
	c.Heads, c.Dim = 512, 512
	c.VocabSize, c.MaxLen, c.Depth = 1, 8, 1
	if got, err := MatchedConfig(Llama, c); err == nil && math.Abs(float64(got.Parameters()-c.Parameters())) > 0.05*
		float64(c.Parameters()) {
		t.Errorf("%d parameters for %d", got.Parameters(), c.Parameters())
	}
}

func TestArchitectureNames(t *testing.T) {
	c := tiny()
	c.Architecture = "mamba3"
	if _, err := NewModel(c, 1); err == nil ||
		!strings.Contains(err.Error(), `architecture is "mamba3": it must be one of synapnet, `) {
		t.Errorf("unknown architecture: got %v", err)
	}
	for _, name := range Architectures() {
		a, err := ParseArchitecture(name)
		if err != nil || a.String() != name || a.About() == "" {
			t.Errorf("%s: %v, %v, about %q", name, a, err, a.About())
		}
	}
	if a, err := ParseArchitecture("synapnet"); err != nil || a != SynapNet {
		t.Errorf("synapnet is %q, %v", string(a), err)
	}
	for _, bad := range []string{"", "Llama", "gru"} {
		if _, err := ParseArchitecture(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// The parameters that Costs counts are those that the model has, block by block.
func TestBaselineParameters(t *testing.T) {
	forBaselines(t, func(t *testing.T, c Config) {
		for _, lm := range []bool{false, true} {
			if lm {
				c.NumClasses = 0
			}
			want, got := map[int]int{}, map[int]int{}
			for _, p := range newModel(t, c).Params.All() {
				block := Outside
				if strings.HasPrefix(p.Name, "blocks.") {
					if _, err := fmt.Sscanf(p.Name, "blocks.%d.", &block); err != nil {
						t.Fatal(err)
					}
				}
				want[block] += p.Size()
			}
			for _, k := range c.Costs(16) {
				got[k.Block] += k.Parameters
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("language model %v: got %v, want %v", lm, got, want)
			}
		}
	})
}

// The operations of the linear layers that Costs counts are those in the training graph.
func TestBaselineOperations(t *testing.T) {
	forBaselines(t, func(t *testing.T, c Config) {
		const batch, tokens = 2, 32
		_, g, err := newModel(t, c).trainGraph(graph.Build, TrainSpec{Batch: batch, Tokens: tokens})
		if err != nil {
			t.Fatal(err)
		}
		forward, backward := operations(t, g)
		others, once := otherOperations(g)
		k := Total(c.Costs(tokens))
		if got, want := batch*k.Forward, forward-others+once; got != want {
			t.Errorf("forward: got %g, the graph has %g", got, want)
		}
		if got, want := batch*k.Backward, backward-2*others; got != want {
			t.Errorf("backward: got %g, the graph has %g", got, want)
		}
		full := Total(c.CostsWithoutShortcut(tokens))
		if full.Forward <= k.Forward || full.Backward <= k.Backward {
			t.Errorf("the shortcut saves %g of %g operations", full.Forward-k.Forward, full.Forward)
		}
	})
}

// otherOperations is what `operations` counts too much of a forward pass: the products that a causal mask leaves out.
// Less, as a negative number, the products of the scans, which it does not know. once is what has no gradient.
func otherOperations(g *graph.Graph) (over, once float64) {
	for _, n := range g.Expr().AllNodes() {
		if n.Op() == nil {
			continue
		}
		out := n.Shape()
		name := n.Op().String()
		if strings.HasPrefix(name, "attention(") && strings.Contains(name, "causal=true") {
			hidden := 0
			for q := range out[1] {
				hidden += out[1] - 1 - q
			}
			over += 4 * float64(out[0]*hidden*out[2])
		}
		if strings.HasPrefix(name, "attentionreceived(") {
			for from := g.Expr().From(n.ID()); from.Next(); {
				q := from.Node().(*graph.Node).Shape()
				once += 2 * float64(out[0]*q[1]*q[2]*out[1])
				break
			}
		}
		if strings.HasPrefix(name, "selectivescan(") {
			over -= 2 * 2 * float64(out[0]*out[1]) * float64(Mamba2State*out[2])
		}
		if name == "gru" {
			over -= 2 * float64(out[0]*(out[1]-1)) * float64(3*out[2]*out[2])
		}
	}
	return over, once
}

// A classifier computes of its last block what the last token needs; the result is that of computing all.
func TestBaselineShortcut(t *testing.T) {
	forBaselines(t, func(t *testing.T, c Config) {
		for _, tokens := range []int{8, 21} {
			ids, _ := samples(c, 2, tokens)
			m := scrambled(t, c)
			var got [2][]float32
			for i := range got {
				m.EveryRow = i == 1
				f, err := m.Infer(2, tokens, 0)
				if err != nil {
					t.Fatal(err)
				}
				logits, err := f.Run(ids, nil)
				if err != nil {
					t.Fatal(err)
				}
				got[i] = slices.Clone(logits)
				f.Program.Close()
			}
			near(t, "logits", got[0], got[1], 1e-5)
		}
	})
}

// The gradient along a random direction is the slope of the loss.
func TestBaselineGradients(t *testing.T) {
	forBaselines(t, func(t *testing.T, c Config) {
		m := scrambled(t, c)
		ids, labels := samples(c, 3, 19)
		train, err := m.Train(3, 19)
		if err != nil {
			t.Fatal(err)
		}
		defer train.Program.Close()
		run := func() float64 {
			loss, err := train.Run(ids, labels)
			if err != nil {
				t.Fatal(err)
			}
			return float64(loss)
		}
		run()
		for _, p := range m.Params.All() {
			if train.Program.Grad(p) == nil {
				t.Errorf("%s has no gradient", p.Name)
			}
		}
		rng := rand.New(rand.NewPCG(3, 3))
		var slope, norm float64
		directions := map[*graph.Param][]float64{}
		for _, p := range m.Params.All() {
			for _, g := range train.Program.Grad(p) {
				v := rng.NormFloat64() + 3*sign(float64(g))
				directions[p] = append(directions[p], v)
				slope += v * float64(g)
				norm += float64(g) * float64(g)
			}
		}
		const h = 1e-5 // small: a change of what em_llm puts into its memory has no slope
		move := func(h float64) {
			for p, v := range directions {
				for i := range v {
					p.Data()[i] += float32(h * v[i])
				}
			}
		}
		move(h)
		up := run()
		move(-2 * h)
		down := run()
		if got := (up - down) / (2 * h); math.Abs(got-slope) > 0.02*math.Abs(slope)+0.01 {
			t.Errorf("slope %g along a direction, by the gradients %g (norm %g)", got, slope, math.Sqrt(norm))
		}
	})
}

func sign(x float64) float64 { return math.Copysign(1, x) }

// A few steps on one batch bring the loss down: the parts work together.
func TestBaselineLearnsABatch(t *testing.T) {
	forBaselines(t, func(t *testing.T, c Config) {
		m := newModel(t, c)
		ids, labels := samples(c, 4, 16)
		train, err := m.Train(4, 16)
		if err != nil {
			t.Fatal(err)
		}
		defer train.Program.Close()
		solver := graph.NewAdamW(0.9, 0.95, 1, &graph.Group{LR: 1e-2, Params: m.Params.All()})
		var first, last float32
		for step := range 60 {
			loss, err := train.Run(ids, labels)
			if err != nil {
				t.Fatal(err)
			}
			if step == 0 {
				first = loss
			}
			last = loss
			if err := solver.Step(train.Program.Gradients()); err != nil {
				t.Fatal(err)
			}
		}
		if math.Abs(float64(first)-math.Log(float64(c.NumClasses))) > 0.2 || last > 0.1 {
			t.Errorf("loss %g at first, want ln %d; %g in the end, want below 0.1", first, c.NumClasses, last)
		}
	})
}

// The bits of a training step do not depend on the number of threads.
func TestBaselineIsDeterministic(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	forBaselines(t, func(t *testing.T, c Config) {
		var want [][]float32
		for _, threads := range []int{1, 2, 5} {
			runtime.GOMAXPROCS(threads)
			m := scrambled(t, c)
			ids, labels := samples(c, 5, 23)
			train, err := m.Train(5, 23)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := train.Run(ids, labels); err != nil {
				t.Fatal(err)
			}
			got := [][]float32{slices.Clone(train.Logits())}
			for _, p := range m.Params.All() {
				got = append(got, slices.Clone(train.Program.Grad(p)))
			}
			if want == nil {
				want = got
			}
			for i := range got {
				if !slices.Equal(got[i], want[i]) {
					t.Fatalf("tensor %d differs between 1 and %d threads", i, threads)
				}
			}
			train.Program.Close()
		}
	})
}

// A saved baseline is loaded as what it was.
func TestBaselineFile(t *testing.T) {
	forBaselines(t, func(t *testing.T, c Config) {
		m := scrambled(t, c)
		path := filepath.Join(t.TempDir(), "m.safetensors")
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
		back, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !back.Config.Equal(c) {
			t.Errorf("configuration %+v, want %+v", back.Config, c)
		}
		clone, err := m.Clone()
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range m.Params.All() {
			for _, other := range []*Model{back, clone} {
				if q := other.Params.All()[i]; q.Name != p.Name || !slices.Equal(q.Data(), p.Data()) {
					t.Errorf("%s differs", p.Name)
				}
			}
		}
	})
}

// Every two-dimensional parameter but embeddings and recurrent weights is a Matrix.
func TestBaselineMatrices(t *testing.T) {
	forBaselines(t, func(t *testing.T, c Config) {
		m := newModel(t, c)
		var want, got []string
		for _, p := range m.Params.All() {
			if len(p.Shape()) == 2 && !strings.HasPrefix(p.Name, "token_embed") && !strings.Contains(p.Name, ".gru.") {
				want = append(want, p.Name)
			}
		}
		for _, w := range m.Params.Weights() {
			if w.Role == Matrix {
				got = append(got, w.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// What needs the pathways of SynapNet says that a baseline has none.
func TestBaselineHasNoStream(t *testing.T) {
	forBaselines(t, func(t *testing.T, c Config) {
		m := newModel(t, c)
		stream := m.Stream(nil, 16, nil)
		_, reader := m.Reader(16, []int{1, 1, 1}, 1, false)
		_, infer := m.Infer(1, 16, 4)
		for what, err := range map[string]error{"stream": stream, "reader": reader, "external memory": infer} {
			if err == nil || !strings.Contains(err.Error(), "architecture "+c.Architecture.String()+",") {
				t.Errorf("%s: got %v", what, err)
			}
		}
	})
}

// As a causal language model, no logit depends on a later token.
func TestCausalBaselines(t *testing.T) {
	forBaselines(t, func(t *testing.T, c Config) {
		c.NumClasses = 0
		const tokens, changed = 20, 13
		ids, _ := samples(c, 1, tokens)
		f, err := scrambled(t, c).Infer(1, tokens, 0)
		if err != nil {
			t.Fatal(err)
		}
		run := func() []float32 {
			logits, err := f.Run(ids, nil)
			if err != nil {
				t.Fatal(err)
			}
			return slices.Clone(logits)
		}
		before := run()
		ids[changed] = (ids[changed] + 1) % int32(c.VocabSize)
		after := run()
		at := changed * c.VocabSize
		if slices.Equal(after[at:], before[at:]) {
			t.Error("a token does not change what follows it")
		}
		if same := slices.Equal(after[:at], before[:at]); same != c.Architecture.Causal() {
			t.Errorf("logits before a changed token are the same: %v, causal: %v", same, c.Architecture.Causal())
		}
	})
}
