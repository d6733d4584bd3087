package layers

import (
	"errors"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// lookback is a layer that mixes rows, y = W (the row before), so that the last row alone is not enough.
type lookback struct{ w *Linear }

func (l *lookback) Forward(g *graph.Graph, x *graph.Node) *graph.Node {
	t := graph.Shape(x)[1]
	first := graph.SliceRows(g, x, 0, 1)
	if t > 1 {
		first = graph.ConcatRows(g, first, graph.SliceRows(g, x, 0, t-1))
	}
	return l.w.Forward(g, first, graph.Identity)
}

var lookbackSpec = LayerSpec{
	Name: "lookback", Doc: "W of the row before", Options: map[string]float64{"lookback_bias": 1},
	New: func(ps *Params, name string, c Config) Layer {
		return &lookback{NewLinear(ps, name+".w", c.Dim, c.Dim, c.Option("lookback_bias") != 0)}
	},
	Check: func(c Config) error {
		if v := c.Option("lookback_bias"); v != 0 && v != 1 {
			return errors.New("lookback_bias must be 0 or 1")
		}
		return nil
	},
}

// summary is a layer that attends to W of the mean row alone: its weight is multiplied with one row, and attention is a
// product without a weight.
type summary struct{ w *Linear }

func (l *summary) Forward(g *graph.Graph, x *graph.Node) *graph.Node {
	mean := l.w.Forward(g, graph.MeanRows(g, x), graph.Identity)
	return graph.Attention(g, x, mean, mean, nil, 1)
}

var summarySpec = LayerSpec{
	Name: "summary", Doc: "attention to W of the mean row", Source: "this test",
	New: func(ps *Params, name string, c Config) Layer {
		return &summary{NewLinear(ps, name+".w", c.Dim, c.Dim, false)}
	},
	Rows:     func(RowCounts) int { return 1 },
	Products: func(c Config, n RowCounts, k *Cost) { k.Attend(n.Wanted, 1, c.Dim) },
}

// thirds is an architecture of three kinds of blocks: a Linear of width D, 2 D or 3 D, and back.
type thirds struct{ in, out *Linear }

func (b *thirds) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	x = Wanted(g, x, last)
	return graph.Sum(g, x, b.out.Forward(g, b.in.Forward(g, x, graph.GELU), graph.Identity))
}

var thirdsSpec = ArchitectureSpec{
	Name: "thirds", Doc: "blocks of three widths", Causal: true, Period: 3, Options: map[string]float64{"widening": 1},
	Block: func(ps *Params, name string, i int, c Config) Block {
		width := c.Dim * (1 + i%3*int(c.Option("widening")))
		return &thirds{NewLinear(ps, name+".in", c.Dim, width, true), NewLinear(ps, name+".out", width, c.Dim, true)}
	},
	Uses: []Use{{Component: FeedForwardComponent, Rows: WantedRows}},
}

// unsaidSpec is thirds with nothing said of what its blocks are.
var unsaidSpec = func() ArchitectureSpec {
	a := thirdsSpec
	a.Name, a.Uses = "unsaid", nil
	return a
}()

// flat gives one row where T are asked for.
var flatSpec = ArchitectureSpec{
	Name: "flat", Doc: "a block with a mistake", Causal: true,
	Block: func(ps *Params, name string, _ int, c Config) Block { return &flat{NewLayerNorm(ps, name, c.Dim)} },
}

type flat struct{ norm *LayerNorm }

func (b *flat) Forward(g *graph.Graph, x *graph.Node, _ bool) *graph.Node {
	return b.norm.Forward(g, LastRow(g, x))
}

func init() {
	for _, err := range []error{
		RegisterLayer(lookbackSpec), RegisterLayer(summarySpec),
		RegisterArchitecture(thirdsSpec), RegisterArchitecture(unsaidSpec), RegisterArchitecture(flatSpec),
	} {
		if err != nil {
			panic(err)
		}
	}
}

func oneLine(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line with %q", err, want)
	}
}

func TestWhatIsBuiltInIsComplete(t *testing.T) {
	if got := BuiltinArchitectures(); !slices.Equal(got, []string{"synapnet", "llama", "gru_ssm", "mamba2", "falcon_h1",
		"em_llm"}) {
		t.Errorf("the architectures are %v", got)
	}
	for _, name := range BuiltinArchitectures() {
		if a, _ := architectures.Find(name); a.Source == "" || a.Doc == "" {
			t.Errorf("%s has no source or no description", name)
		}
	}
	for _, name := range Layers() {
		if l, _ := layerSpecs.Find(name); l.Source == "" && l.Name != "lookback" {
			t.Errorf("layer %s has no source", name)
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	architecture := func(change func(*ArchitectureSpec)) error {
		a := thirdsSpec
		a.Name = "other"
		change(&a)
		return RegisterArchitecture(a)
	}
	layer := func(change func(*LayerSpec)) error {
		l := lookbackSpec
		l.Name, l.Options = "other", nil
		change(&l)
		return RegisterLayer(l)
	}
	for want, err := range map[string]error{
		`architecture "llama": the name is taken`: architecture(func(a *ArchitectureSpec) { a.Name = "llama" }),
		`architecture "synapnet": the name is t`:  architecture(func(a *ArchitectureSpec) { a.Name = "synapnet" }),
		`architecture: Name is empty`:             architecture(func(a *ArchitectureSpec) { a.Name = "" }),
		`architecture "a b": a name has only`:     architecture(func(a *ArchitectureSpec) { a.Name = "a b" }),
		`architecture "other": its Doc is empty`:  architecture(func(a *ArchitectureSpec) { a.Doc = "" }),
		`architecture "other": its Block is nil`:  architecture(func(a *ArchitectureSpec) { a.Block = nil }),
		`its Uses count "in." as component "ffn"`: architecture(func(a *ArchitectureSpec) {
			a.Uses = []Use{{Prefix: "in.", Component: "ffn"}}
		}),
		`either Causal is true, or SeesLater`: architecture(func(a *ArchitectureSpec) { a.Causal = false }),
		`or SeesLater says by what`:           architecture(func(a *ArchitectureSpec) { a.SeesLater = "its attention" }),
		`its Period is -1`:                    architecture(func(a *ArchitectureSpec) { a.Period = -1 }),
		`the names of its Options`: architecture(func(a *ArchitectureSpec) {
			a.Options = map[string]float64{"A": 1}
		}),
		`layer "swiglu": the name is taken`:  layer(func(l *LayerSpec) { l.Name = "swiglu" }),
		`layer "Swi": a name has only`:       layer(func(l *LayerSpec) { l.Name = "Swi" }),
		`layer "other": its Doc is empty`:    layer(func(l *LayerSpec) { l.Doc = "" }),
		`layer "other": its New is nil`:      layer(func(l *LayerSpec) { l.New = nil }),
		`its option lookback_bias is one of`: layer(func(l *LayerSpec) { l.Options = lookbackSpec.Options }),
		`layer "other": the names of its Options`: layer(func(l *LayerSpec) {
			l.Options = map[string]float64{"x": math.NaN()}
		}),
	} {
		oneLine(t, err, want)
	}
}

func TestConfigChecksLayersAndOptions(t *testing.T) {
	for want, change := range map[string]func(*Config){
		`block_layers is "swigul": it must be one of swiglu`: func(c *Config) { c.BlockLayers = []string{"swigul"} },
		`architecture llama has no place for further layers`: func(c *Config) {
			c.Architecture, c.BlockLayers = Llama,
				[]string{"swiglu"}
		},
		`block_layers is 65: it can have at most 64`: func(c *Config) {
			c.BlockLayers = slices.Repeat([]string{"swiglu"}, 65)
		},
		`options.x is 1: architecture synapnet has no opti`: func(c *Config) { c.Options = map[string]float64{"x": 1} },
		`options.lookback is 1: did you mean "lookback_bias"?`: func(c *Config) {
			c.BlockLayers, c.Options = []string{"lookback"}, map[string]float64{"lookback": 1}
		},
		`options.lookback_bias is NaN`: func(c *Config) {
			c.BlockLayers, c.Options = []string{"lookback"}, map[string]float64{"lookback_bias": math.NaN()}
		},
		`layer lookback: lookback_bias must be 0 or 1`: func(c *Config) {
			c.BlockLayers, c.Options = []string{"lookback"}, map[string]float64{"lookback_bias": 2}
		},
		`did you mean "widening"?`: func(c *Config) {
			c.Architecture, c.Options = "thirds",
				map[string]float64{"wideing": 1}
		},
	} {
		c := tiny()
		change(&c)
		oneLine(t, c.Validate(), want)
	}
}

// withLayers are SynapNets with layers of either kind in their blocks.
func withLayers() map[string]Config {
	rowWise, mixing := tiny(), tiny()
	rowWise.BlockLayers = []string{"swiglu", "swiglu"}
	mixing.BlockLayers, mixing.Options = []string{"swiglu", "lookback"}, map[string]float64{"lookback_bias": 0}
	own := mixing
	own.BlockLayers, own.Options = []string{"swiglu", "summary"}, nil
	return map[string]Config{"row-wise": rowWise, "mixing": mixing, "rows and products of its own": own}
}

// Parameters and operations of layers are counted, the last block's shortcut included, and the shortcut changes
// nothing.
func TestLayersInBlocks(t *testing.T) {
	for name, c := range withLayers() {
		t.Run(name, func(t *testing.T) {
			m := scrambled(t, c)
			costs := Total(c.Costs(20))
			if n := m.Params.Count(); costs.Parameters != n || c.Parameters() != n {
				t.Errorf("%d parameters in the costs, %d in the outline, %d in the model", costs.Parameters, c.Parameters(), n)
			}
			_, g, err := m.trainGraph(graph.Build, TrainSpec{Batch: 1, Tokens: 20})
			if err != nil {
				t.Fatal(err)
			}
			if forward, backward := operations(t, g); forward != costs.Forward || backward != costs.Backward {
				t.Errorf("%g and %g operations in the costs, %g and %g in the graph",
					costs.Forward, costs.Backward, forward, backward)
			}
			if untrained, err := m.Untrained(20); err != nil || len(untrained) > 0 {
				t.Errorf("not trained: %v, %v", untrained, err)
			}
			ids, _ := samples(c, 2, 20)
			var got [2][]float32
			for i := range got {
				m.EveryRow = i == 1
				f, err := m.Infer(2, 20, 0)
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
		})
	}
}

// What the layers compute arrives: a model in which theirs are zero is the one without.
func TestLayersOfZerosChangeNothing(t *testing.T) {
	c := withLayers()["mixing"]
	m := scrambled(t, c)
	plain := newModel(t, tiny())
	for _, p := range plain.Params.All() {
		q, ok := m.Params.ByName(p.Name)
		if !ok {
			t.Fatalf("%s is missing", p.Name)
		}
		copy(p.Data(), q.Data())
	}
	ids, _ := samples(c, 1, 16)
	logits := func(m *Model) []float32 {
		f, err := m.Infer(1, 16, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Program.Close()
		out, err := f.Run(ids, nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(out)
	}
	want := logits(plain)
	if slices.Equal(logits(m), want) {
		t.Error("the layers change nothing")
	}
	for _, w := range m.Params.Weights() {
		if strings.Contains(w.Name, ".layers.") {
			clear(w.Param.Data())
		}
	}
	near(t, "logits", logits(m), want, 1e-6)
}

// A model with layers in its blocks, or of a registered architecture, is in its file what it was; without either the
// header has no word of them.
func TestRegisteredInFiles(t *testing.T) {
	other := tiny()
	other.Architecture, other.Options, other.Depth = "thirds", map[string]float64{"widening": 2}, 5
	for _, c := range []Config{withLayers()["mixing"], other, tiny()} {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		m := scrambled(t, c)
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
		back, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !back.Config.Equal(c) || back.WeightsSHA256() != m.WeightsSHA256() || back.Parameters() != c.Parameters() {
			t.Errorf("loaded as %+v, want %+v", back.Config, c)
		}
	}
	f, err := newModel(t, tiny()).File()
	if err != nil {
		t.Fatal(err)
	}
	if text := f.Metadata[configKey]; strings.Contains(text, "block_layers") || strings.Contains(text, "options") {
		t.Errorf("the header is %s", text)
	}
}

// A file of a program that had more registered says so.
func TestFilesOfOtherPrograms(t *testing.T) {
	for want, entry := range map[string]string{
		`architecture "mine", which is not registered in this program`: `"architecture":"mine"`,
		`the layer "mine" in its blocks, which is not registered`:      `"block_layers":["mine"]`,
	} {
		f, err := newModel(t, tiny()).File()
		if err != nil {
			t.Fatal(err)
		}
		f.Metadata[configKey] = strings.Replace(f.Metadata[configKey], "{", "{"+entry+",", 1)
		_, err = FromFile(f)
		oneLine(t, err, want)
		path := filepath.Join(t.TempDir(), "m.safetensors")
		if err := safetensors.Write(path, f); err != nil {
			t.Fatal(err)
		}
		_, err = ReadConfig(path)
		oneLine(t, err, want)
	}
}

// A block that gives another shape than it was asked for is named when the graph is built.
func TestShapesOfBlocksAreChecked(t *testing.T) {
	c := tiny()
	c.Architecture = "flat"
	_, err := newModel(t, c).Infer(2, 16, 0)
	oneLine(t, err, "block 0 of architecture flat gave the shape [2 1 18], want [2 16 18]")
}

// The walk counts each kind of block of a registered architecture.
func TestRegisteredIsCounted(t *testing.T) {
	for architecture, component := range map[Architecture]string{
		"thirds": FeedForwardComponent, "unsaid": OtherComponent,
	} {
		c := tiny()
		c.Architecture, c.Depth = architecture, 5
		m := newModel(t, c)
		want, got := map[int]int{}, map[int]int{}
		for _, p := range m.Params.All() {
			block, _ := InBlock(p.Name)
			want[block] += p.Size()
		}
		for _, k := range c.Costs(16) {
			if got[k.Block] += k.Parameters; k.Block != Outside && k.Component != component {
				t.Errorf("%s: block %d is counted as %s, want %s", architecture, k.Block, k.Component, component)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: the blocks are counted with %v parameters, want %v", architecture, got, want)
		}
		_, g, err := m.trainGraph(graph.Build, TrainSpec{Batch: 1, Tokens: 16})
		if err != nil {
			t.Fatal(err)
		}
		forward, backward := operations(t, g)
		k, all := Total(c.Costs(16)), Total(c.CostsWithoutShortcut(16))
		if counted := k.Forward == forward && k.Backward == backward; counted != (architecture == "thirds") {
			t.Errorf("%s: %g and %g operations in the costs, %g and %g in the graph",
				architecture, k.Forward, k.Backward, forward, backward)
		}
		if saves := k.Forward < all.Forward; saves != (architecture == "thirds") { // without Uses every row counts
			t.Errorf("%s: %g operations in the costs, %g without the shortcut", architecture, k.Forward, all.Forward)
		}
	}
}

// A registered architecture is matched to the parameters of another model.
func TestRegisteredIsMatched(t *testing.T) {
	reference := Reference()
	c, err := MatchedConfig("thirds", reference)
	if err != nil {
		t.Fatal(err)
	}
	n, want := newModel(t, c).Params.Count(), reference.Parameters()
	if c.Parameters() != n || math.Abs(float64(n-want)) > MatchTolerance*float64(want) {
		t.Errorf("%d parameters, counted as %d, want about %d", n, c.Parameters(), want)
	}
}

// Layers in the blocks do not keep a model from being streamed.
func TestLayersInAStream(t *testing.T) {
	for name, c := range withLayers() {
		ids, _ := samples(c, 1, 40)
		chunks := 0
		count := func([]float32) error { chunks++; return nil }
		if err := scrambled(t, c).Stream(ids, 16, count); err != nil || chunks != 3 {
			t.Errorf("%s: %d chunks, %v", name, chunks, err)
		}
	}
}
