package layers

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
)

var costModels = map[string]Config{
	"classifier": {Dim: 24, Depth: 3, Heads: 3, VocabSize: 50, MaxLen: 64, NumClasses: 7, KFrac: 0.25, EpisodicSlots: 5,
		EpisodicWriteFrac: 0.1, MLPRatio: 3, UseScaleBridge: true, SparseThreshold: 32},
	"without bridge": {Dim: 10, Depth: 1, Heads: 2, VocabSize: 50, MaxLen: 64, NumClasses: 4, KFrac: 0.5, EpisodicSlots: 9,
		EpisodicWriteFrac: 0.2, MLPRatio: 1.5, SparseThreshold: 32},
	"language model": {Dim: 16, Depth: 2, Heads: 4, VocabSize: 40, MaxLen: 64, KFrac: 0.3, EpisodicSlots: 3,
		EpisodicWriteFrac: 0.1, MLPRatio: 4, UseScaleBridge: true, SparseThreshold: 32},
}

// The parameters are those that the model has, component by component and block by block.
func TestCostParameters(t *testing.T) {
	for name, c := range costModels {
		m, err := NewModel(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int{}
		for _, p := range m.Params.All() {
			want[componentOf(t, p.Name)] += p.Size()
		}
		got := map[string]int{}
		if n := Total(c.Costs(16)).Parameters; n != m.Params.Count() || n != c.Parameters() {
			t.Errorf("%s: %d parameters in the costs, %d in the model, %d in its outline", name, n, m.Params.Count(),
				c.Parameters())
		}
		for _, k := range c.Costs(16) {
			got[fmt.Sprintf("%d %s", k.Block, k.Component)] += k.Parameters
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want)
		}
	}
}

func TestReferenceParameters(t *testing.T) {
	if got := Total(Reference().Costs(1024)).Parameters; got != 8_714_950 {
		t.Errorf("got %d, want 8714950", got)
	}
}

// componentOf tells from a state-dict name where a parameter belongs.
func componentOf(t *testing.T, name string) string {
	t.Helper()
	block := Outside
	if rest, ok := strings.CutPrefix(name, "blocks."); ok {
		if _, err := fmt.Sscanf(rest, "%d.", &block); err != nil {
			t.Fatal(err)
		}
		_, name, _ = strings.Cut(rest, ".")
	}
	for _, c := range []struct{ prefix, component string }{
		{"ff.0.", NormsComponent}, {"ff.", FeedForwardComponent}, {"norm", NormsComponent}, {"ssm.", SSMComponent},
		{"attn.", AttentionComponent}, {"epmem.", MemoryComponent}, {"scale_bridge.", BridgeComponent},
		{"alpha_gate.", GatesComponent}, {"beta_gate.", GatesComponent}, {"head.", HeadComponent},
		{"pos_embed", EmbeddingComponent}, {"token_embed.", EmbeddingComponent},
	} {
		if strings.HasPrefix(name, c.prefix) {
			return fmt.Sprintf("%d %s", block, c.component)
		}
	}
	t.Fatalf("parameter %s belongs to no component", name)
	return ""
}

// The operations are those of the matrix products in the training graph, forward and backward.
func TestCostOperations(t *testing.T) {
	for name, c := range costModels {
		for _, tokens := range []int{8, 32, 64} { // dense, dense, sparse
			m, err := NewModel(c, 1)
			if err != nil {
				t.Fatal(err)
			}
			const batch = 3
			_, g, err := m.trainGraph(graph.Build, TrainSpec{Batch: batch, Tokens: tokens})
			if err != nil {
				t.Fatal(err)
			}
			forward, backward := operations(t, g)
			k := Total(c.Costs(tokens))
			if batch*k.Forward != forward || batch*k.Backward != backward {
				t.Errorf("%s, %d tokens: got %g forward and %g backward, the graph has %g and %g",
					name, tokens, batch*k.Forward, batch*k.Backward, forward, backward)
			}
			full := Total(c.CostsWithoutShortcut(tokens))
			if saves := full.Forward > k.Forward && full.Backward > k.Backward; saves == c.LanguageModel() {
				t.Errorf("%s, %d tokens: the shortcut saves %g of %g operations", name, tokens, full.Forward-k.Forward,
					full.Forward)
			}
		}
	}
}

// gradient matches the node of one operand's gradient: kernel, id of the forward node, operand.
var gradient = regexp.MustCompile(`^∂(linear|attention)\(.*\)\(([0-9a-f]+)\)\.(\d)$`)

// operations counts the matrix products of a graph from the shapes of its nodes.
func operations(t *testing.T, g *graph.Graph) (forward, backward float64) {
	t.Helper()
	size := map[string]float64{} // of one product, by the forward node's id
	for _, n := range g.Expr().AllNodes() {
		if n.Op() == nil {
			continue
		}
		kernel, _, _ := strings.Cut(n.Op().String(), "(")
		out := n.Shape()
		var operands [][]int
		for from := g.Expr().From(n.ID()); from.Next(); {
			operands = append(operands, from.Node().(*graph.Node).Shape())
		}
		switch kernel {
		case "linear":
			for _, s := range operands {
				if len(s) == 2 {
					size[fmt.Sprintf("%x", n.ID())] = 2 * float64(out[0]*out[1]) * float64(s[0]*s[1])
				}
			}
			forward += size[fmt.Sprintf("%x", n.ID())]
		case "attention":
			keys := out[1]
			for _, s := range operands {
				if len(s) == 3 && s[1] != out[1] {
					keys = s[1]
				}
			}
			size[fmt.Sprintf("%x", n.ID())] = 2 * float64(out[0]*out[1]*out[2]) * float64(keys)
			forward += 2 * size[fmt.Sprintf("%x", n.ID())]
		}
	}
	for _, n := range g.Expr().AllNodes() {
		if n.Op() == nil {
			continue
		}
		match := gradient.FindStringSubmatch(n.Op().String())
		switch {
		case match == nil:
		case match[1] == "linear" && match[3] <= "1": // ∂x and ∂W
			backward += size[match[2]]
		case match[1] == "attention" && match[3] <= "1": // ∂q and ∂k
			backward += size[match[2]]
		case match[1] == "attention" && match[3] == "2": // ∂v, and ∂p = ∂y vᵀ
			backward += 2 * size[match[2]]
		}
	}
	return forward, backward
}

// A plan is what a compiled program takes.
func TestPlans(t *testing.T) {
	for name, c := range costModels {
		m, err := NewModel(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, tokens := range []int{8, 64} {
			planned, err := m.PlanTrain(TrainSpec{Batch: 2, Tokens: tokens})
			if err != nil {
				t.Fatal(err)
			}
			train, err := m.Gradients(2, tokens)
			if err != nil {
				t.Fatal(err)
			}
			if err := train.Program.Run(); err != nil {
				t.Fatal(err)
			}
			gradients := 0
			for _, p := range m.Params.All() {
				gradients += 4 * len(train.Program.Grad(p))
			}
			if got := train.Program.ArenaBytes(); planned.Arena != got || planned.Gradients != gradients {
				t.Errorf("%s: planned %+v, the program has %d and gradients of %d", name, planned, got, gradients)
			}
			planned, err = m.PlanInfer(2, tokens, 6)
			if err != nil {
				t.Fatal(err)
			}
			infer, err := m.Infer(2, tokens, 6)
			if err != nil {
				t.Fatal(err)
			}
			if got := infer.Program.ArenaBytes(); planned.Arena != got || planned.Gradients != 0 {
				t.Errorf("%s: planned %+v, the program has %d", name, planned, got)
			}
			train.Program.Close()
			infer.Program.Close()
		}
	}
}
