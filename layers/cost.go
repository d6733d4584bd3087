package layers

import (
	"fmt"
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
	NormsComponent       = "norms"  // those of the blocks and of the head; the bridge's own count as bridge
	LayersComponent      = "layers" // of Config.BlockLayers, without their norms
	HeadComponent        = "head"
	OtherComponent       = "other" // what its architecture says no component of
)

// Components lists all of them.
func Components() []string {
	return []string{
		EmbeddingComponent, SSMComponent, AttentionComponent, MemoryComponent, BridgeComponent, GatesComponent,
		FeedForwardComponent, LayersComponent, NormsComponent, HeadComponent, OtherComponent,
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

// Product adds a matrix product of `rows` rows of `in` elements to rows of `out`; without gradient if it does not act
// on the loss.
func (k *Cost) Product(rows, in, out int, gradient bool) {
	n := 2 * float64(rows) * float64(in) * float64(out)
	k.Forward += n
	if gradient {
		k.Backward += 2 * n
	}
}

// Attend adds the two products of attention of a width: scores and weighted sum.
func (k *Cost) Attend(queries, keys, width int) {
	k.Product(queries, width, keys, true)
	k.Product(queries, keys, width, true)
}

// Costs lists what each component of the model holds and computes for one sequence of T tokens, as ForwardLast and
// Forward of its blocks do it: in the last block of a classifier only what the last token needs.
func (c Config) Costs(tokens int) []Cost { return c.costs(tokens, c.LanguageModel()) }

// CostsWithoutShortcut is Costs if the last block computed every token, as the reference does.
func (c Config) CostsWithoutShortcut(tokens int) []Cost { return c.costs(tokens, true) }

// Use says what the parameters of a block are counted as whose names in it begin with a prefix, and of how many rows
// its Linears, and other weights that are a Matrix, make the product. Of several uses the first that fits counts.
type Use struct {
	Prefix    string // "attn.to_k." is for blocks.N.attn.to_k.weight
	Component string // one of Components

	// Rows is EveryToken, WantedRows, AttentionKeys, MemorySlots or a function of another layer's own. nil: there is no
	// Matrix among them.
	Rows func(n RowCounts) int
	// Chooses says that their result chooses the tokens of sparse attention: a choice has no gradient. Dense attention
	// adds it as a bias, which has one.
	Chooses bool
}

// RowCounts are the numbers of rows in one block, for one sequence.
type RowCounts struct {
	Tokens int  // all rows T of its input
	Wanted int  // of its result: T, or 1 in the last block of a classifier
	Keys   int  // tokens that sparse attention chose; T if it is dense
	Slots  int  // of the memory bank
	Dense  bool // sparse attention is dense, as it is up to Config.SparseThreshold tokens
}

// EveryToken are the rows of what reads all of a block's input.
func EveryToken(n RowCounts) int { return n.Tokens }

// WantedRows are those of what is computed for the rows of the block's result alone.
func WantedRows(n RowCounts) int { return n.Wanted }

// AttentionKeys are those of the keys and values of SparseAttention.
func AttentionKeys(n RowCounts) int { return n.Keys }

// MemorySlots are those of the keys and values of an EpisodicMemory.
func MemorySlots(n RowCounts) int { return n.Slots }

// outerUses are the layers around the blocks.
var outerUses = []Use{
	{Prefix: "pos_embed", Component: EmbeddingComponent}, {Prefix: "token_embed.", Component: EmbeddingComponent},
	{Prefix: "norm", Component: NormsComponent}, {Prefix: "head.", Component: HeadComponent, Rows: WantedRows},
}

// checkUses is an error for a component that Components does not have.
func checkUses(uses []Use) error {
	for _, u := range uses {
		if !slices.Contains(Components(), u.Component) {
			return fmt.Errorf("its Uses count %q as component %q: it must be one of %s",
				u.Prefix, u.Component, strings.Join(Components(), ", "))
		}
	}
	return nil
}

// costs walks through the parameters of an outline that has one block of each kind, of which all others are copies.
func (c Config) costs(tokens int, every bool) []Cost {
	kinds, a := c, c.Architecture.find()
	kinds.Depth = max(1, a.Period)
	m := outline(kinds, nil)
	n := RowCounts{
		Tokens: tokens, Wanted: 1, Keys: tokens, Slots: c.EpisodicSlots, Dense: tokens <= c.SparseThreshold,
	}
	if c.LanguageModel() {
		n.Wanted = tokens
	}
	uses := append(c.layerUses(), a.Uses...)
	var all []Cost
	for _, k := range m.costs(Outside, outerUses, n) {
		k.Block = Outside
		all = append(all, *k)
	}
	if !n.Dense {
		n.Keys = fraction(c.KFrac, tokens)
	}
	for i := range c.Depth {
		n.Wanted = tokens
		if i == c.Depth-1 && !every && !c.mixesRows() {
			n.Wanted = 1
		}
		block := m.costs(i%kinds.Depth, uses, n)
		if a.Products != nil {
			a.Products(c, i, n, block.of)
		}
		for _, l := range c.blockLayers() {
			if l.Products != nil {
				l.Products(c, n, block.of(LayersComponent))
			}
		}
		for _, k := range block {
			k.Block = i
			all = append(all, *k)
		}
	}
	return all
}

// componentCosts are the costs of one block, or Outside, a component each.
type componentCosts []*Cost

// of finds the cost of a component, and makes one if there is none.
func (all *componentCosts) of(component string) *Cost {
	i := slices.IndexFunc(*all, func(k *Cost) bool { return k.Component == component })
	if i < 0 {
		i, *all = len(*all), append(*all, &Cost{Component: component})
	}
	return (*all)[i]
}

// costs are those of the parameters and matrices of one block, or Outside, by component. A component that only other
// blocks have is listed too.
func (m *Model) costs(block int, uses []Use, n RowCounts) (all componentCosts) {
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
		u := Use{Component: OtherComponent, Rows: EveryToken}
		if i := slices.IndexFunc(uses, func(u Use) bool { return strings.HasPrefix(name, u.Prefix) }); i >= 0 {
			u = uses[i]
		}
		k := all.of(u.Component)
		if in != block {
			continue
		}
		k.Parameters += p.Size()
		if w := matrices[p.Name]; w != nil && u.Rows != nil {
			k.Product(u.Rows(n), w.Shape[1], w.Shape[0], n.Dense || !u.Chooses)
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

// PlanTrain is the memory that TrainOn would plan for batches of a spec, without allocating it.
func (m *Model) PlanTrain(spec TrainSpec, terms ...Term) (graph.MemoryPlan, error) {
	_, g, err := m.trainGraph(graph.Outline, spec, terms...)
	if err != nil {
		return graph.MemoryPlan{}, err
	}
	return g.Plan()
}

// PlanInfer is the memory that Infer would plan, without allocating it.
func (m *Model) PlanInfer(batch, tokens, external int) (graph.MemoryPlan, error) {
	return m.planInfer(batch, tokens, external, 1)
}

// PlanInferChunks is the memory that InferChunks would plan, without allocating it.
func (m *Model) PlanInferChunks(batch, tokens, chunks int) (graph.MemoryPlan, error) {
	return m.planInfer(batch, tokens, 0, chunks)
}

func (m *Model) planInfer(batch, tokens, external, chunks int) (graph.MemoryPlan, error) {
	_, g, err := m.inferenceGraph(graph.Outline, batch, tokens, external, chunks)
	if err != nil {
		return graph.MemoryPlan{}, err
	}
	return g.Plan()
}
