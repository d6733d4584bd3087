package layers

import (
	"slices"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/graph"
)

// The components of a model, in the order in which Costs lists them within a block and around the blocks.
const (
	EmbeddingComponent   = "embeddings"
	SSMComponent         = "SSM"
	AttentionComponent   = "attention"
	MemoryComponent      = "memory"
	BridgeComponent      = "bridge"
	GatesComponent       = "gates"
	FeedForwardComponent = "feed-forward"
	NormsComponent       = "norms" // those of the blocks and of the head; the bridge's own count as bridge
	HeadComponent        = "head"
	OtherComponent       = "other" // layers that are none of ours
)

// Components lists all of them.
func Components() []string {
	return []string{
		EmbeddingComponent, SSMComponent, AttentionComponent, MemoryComponent, BridgeComponent, GatesComponent,
		FeedForwardComponent, NormsComponent, HeadComponent, OtherComponent,
	}
}

// Outside is the Block of what belongs to no block.
const Outside = -1

// Cost is what one component of one block holds, and computes for one sequence.
//
// Operations are those of the matrix products in the equations, a multiplication and an addition counting as two. The
// gradient of a product is two products of its size. Not counted: whatever is not a matrix product (normalisations,
// activations, softmax, the depthwise convolution, the optimiser), and the scores that attention's backward pass
// computes again instead of storing.
type Cost struct {
	Block             int // Outside, or from 0
	Component         string
	Parameters        int
	Forward, Backward float64 // operations
}

// product adds a matrix product of `rows` rows of `in` elements to rows of `out`; without gradient if it does not act
// on the loss.
func (k *Cost) product(rows, in, out int, gradient bool) {
	n := 2 * float64(rows) * float64(in) * float64(out)
	k.Forward += n
	if gradient {
		k.Backward += 2 * n
	}
}

// attend adds the two products of attention: scores and weighted sum.
func (k *Cost) attend(queries, keys, width int) {
	k.product(queries, width, keys, true)
	k.product(queries, keys, width, true)
}

// Costs lists what each component of the model holds and computes for one sequence of T tokens, as ForwardLast and
// Forward of its blocks do it: in the last block of a classifier only what the last token needs.
func (c Config) Costs(tokens int) []Cost { return c.costs(tokens, c.LanguageModel()) }

// CostsWithoutShortcut is Costs if the last block computed every token, as the reference does.
func (c Config) CostsWithoutShortcut(tokens int) []Cost { return c.costs(tokens, true) }

// use says what the layers of a block are counted as whose names begin so.
type use struct {
	prefix    string
	component string
	rows      func(n rowCounts) int // of the inputs that a Matrix is multiplied with
}

// rowCounts are the numbers of rows in one block, for one sequence.
type rowCounts struct {
	tokens int  // all
	wanted int  // of the block's result
	keys   int  // that attention chose
	slots  int  // of the memory bank
	gated  int  // that the convolution of the wanted rows sees
	dense  bool // attention is: the choice of tokens has no gradient, the bias of dense attention has
}

func everyToken(n rowCounts) int  { return n.tokens }
func wantedRows(n rowCounts) int  { return n.wanted }
func memorySlots(n rowCounts) int { return n.slots }

// synapUses are the layers of a SynapBlock.
var synapUses = []use{
	{"ssm.", SSMComponent, func(n rowCounts) int { return n.gated }},
	{"attn.to_k.", AttentionComponent, func(n rowCounts) int { return n.keys }},
	{"attn.to_v.", AttentionComponent, func(n rowCounts) int { return n.keys }},
	{salienceMLP, AttentionComponent, everyToken}, {"attn.", AttentionComponent, wantedRows},
	{"epmem.key_proj.", MemoryComponent, memorySlots}, {"epmem.val_proj.", MemoryComponent, memorySlots},
	{"epmem.", MemoryComponent, wantedRows},
	{"scale_bridge.", BridgeComponent, wantedRows},
	{"alpha_gate.", GatesComponent, wantedRows}, {"beta_gate.", GatesComponent, wantedRows},
	{"ff.0.", NormsComponent, nil}, {"ff.", FeedForwardComponent, wantedRows}, {"norm", NormsComponent, nil},
}

// salienceMLP is what chooses the tokens of sparse attention.
const salienceMLP = "attn.salience_mlp."

func synapProducts(c Config, _ int, n rowCounts, of func(component string) *Cost) {
	of(AttentionComponent).attend(n.wanted, n.keys, c.Dim)
	of(MemoryComponent).attend(n.wanted, n.slots, c.Dim)
}

// outerUses are the layers around the blocks.
var outerUses = []use{
	{"pos_embed", EmbeddingComponent, nil}, {"token_embed.", EmbeddingComponent, nil}, {"norm", NormsComponent, nil},
	{"head.", HeadComponent, wantedRows},
}

// costs walks through the parameters of an outline of two blocks, of which all others are copies: falcon_h1 has two
// kinds.
func (c Config) costs(tokens int, every bool) []Cost {
	pair, a := c, c.Architecture.find()
	pair.Depth = 2
	m := outline(pair, nil)
	n := rowCounts{
		tokens: tokens, wanted: 1, keys: tokens, slots: c.EpisodicSlots, gated: tokens, dense: tokens <= c.SparseThreshold,
	}
	if c.LanguageModel() {
		n.wanted = tokens
	}
	all := m.costs(Outside, outerUses, n)
	if !n.dense {
		n.keys = fraction(c.KFrac, tokens)
	}
	for i := range c.Depth {
		n.wanted = tokens
		if i == c.Depth-1 && !every {
			n.wanted, n.gated = 1, min(tokens, KernelSize/2+1)
		}
		block := m.costs(i%2, a.uses, n)
		a.products(c, i, n, func(component string) *Cost {
			return &block[slices.IndexFunc(block, func(k Cost) bool { return k.Component == component })]
		})
		for j := range block {
			block[j].Block = i
		}
		all = append(all, block...)
	}
	return all
}

// costs are those of the parameters and matrices of one block, or Outside, by component. A component that only other
// blocks have is listed too.
func (m *Model) costs(block int, uses []use, n rowCounts) []Cost {
	var all []Cost
	matrices := map[string]*Weight{}
	for _, w := range m.Params.Weights() {
		if w.Role == Matrix {
			matrices[w.Name] = w
		}
	}
	for _, p := range m.Params.All() {
		in, name := InBlock(p.Name)
		if (in == Outside) != (block == Outside) {
			continue
		}
		u := use{"", OtherComponent, everyToken}
		if i := slices.IndexFunc(uses, func(u use) bool { return strings.HasPrefix(name, u.prefix) }); i >= 0 {
			u = uses[i]
		}
		at := slices.IndexFunc(all, func(k Cost) bool { return k.Component == u.component })
		if at < 0 {
			at, all = len(all), append(all, Cost{Block: block, Component: u.component})
		}
		if in != block {
			continue
		}
		all[at].Parameters += p.Size()
		if w := matrices[p.Name]; w != nil && u.rows != nil {
			all[at].product(u.rows(n), w.Shape[1], w.Shape[0], n.dense || u.prefix != salienceMLP)
		}
	}
	return all
}

// InBlock tells the block of a parameter or weight and its name there: 2 and "ff.1.weight" of "blocks.2.ff.1.weight";
// Outside and the whole name of one outside the blocks.
func InBlock(name string) (block int, inside string) {
	if rest, ok := strings.CutPrefix(name, "blocks."); ok {
		number, inside, _ := strings.Cut(rest, ".")
		if block, err := strconv.Atoi(number); err == nil {
			return block, inside
		}
	}
	return Outside, name
}

// Total adds costs up.
func Total(costs []Cost) (sum Cost) {
	sum.Block = Outside
	for _, k := range costs {
		sum.Parameters += k.Parameters
		sum.Forward += k.Forward
		sum.Backward += k.Backward
	}
	return sum
}

// PlanTrain is the memory that Train would plan for B samples of T tokens, without allocating it.
func (m *Model) PlanTrain(batch, tokens int, terms ...Term) (graph.MemoryPlan, error) {
	_, g, err := m.trainGraph(graph.Outline, batch, tokens, terms...)
	if err != nil {
		return graph.MemoryPlan{}, err
	}
	return g.Plan()
}

// PlanInfer is the memory that Infer would plan, without allocating it.
func (m *Model) PlanInfer(batch, tokens, external int) (graph.MemoryPlan, error) {
	_, g, err := m.inferenceGraph(graph.Outline, batch, tokens, external)
	if err != nil {
		return graph.MemoryPlan{}, err
	}
	return g.Plan()
}
