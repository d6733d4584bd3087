package layers

import "github.com/synapnet/synapnet-train/graph"

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
)

// Components lists all of them.
func Components() []string {
	return []string{
		EmbeddingComponent, SSMComponent, AttentionComponent, MemoryComponent, BridgeComponent, GatesComponent,
		FeedForwardComponent, LayersComponent, NormsComponent, HeadComponent,
	}
}

// Outside is the Block of what belongs to no block.
const Outside = -1

// Cost is what one component of one block holds, and computes for one sequence.
//
// Operations are those of the matrix products in the equations, a multiplication and an addition counting as two. The
// gradient of a product is two products of its size. Not counted: whatever is not a matrix product (normalisations,
// activations, softmax, the depthwise convolution, the optimiser), and the scores that attention's backward pass computes
// again instead of storing.
type Cost struct {
	Block             int // Outside, or from 0
	Component         string
	Parameters        int
	Forward, Backward float64 // operations
}

// Linear adds a layer [in] → [out] applied to a number of rows; without gradient if it does not act on the loss.
func (k *Cost) Linear(rows, in, out int, bias, gradient bool) {
	k.Parameters += in * out
	if bias {
		k.Parameters += out
	}
	k.Product(rows, in, out, gradient)
}

// Product adds a matrix product of `rows` rows of `in` elements to rows of `out`.
func (k *Cost) Product(rows, in, out int, gradient bool) {
	n := 2 * float64(rows) * float64(in) * float64(out)
	k.Forward += n
	if gradient {
		k.Backward += 2 * n
	}
}

// Attend adds the two products of attention: scores and weighted sum.
func (k *Cost) Attend(queries, keys, width int) {
	k.Product(queries, width, keys, true)
	k.Product(queries, keys, width, true)
}

// Costs lists what each component of the model holds and computes for one sequence of T tokens, as ForwardLast and
// Forward of its blocks do it: in the last block of a classifier only what the last token needs.
func (c Config) Costs(tokens int) []Cost { return c.costs(tokens, c.LanguageModel()) }

// CostsWithoutShortcut is Costs if the last block computed every token, as the reference does.
func (c Config) CostsWithoutShortcut(tokens int) []Cost { return c.costs(tokens, true) }

func (c Config) costs(tokens int, every bool) []Cost {
	a := c.Architecture.find()
	all := []Cost{{Block: Outside, Component: EmbeddingComponent, Parameters: (c.VocabSize + c.MaxLen) * c.Dim}}
	for i := range c.Depth {
		rows := tokens
		if i == c.Depth-1 && !every {
			rows = 1
		}
		for _, k := range a.Costs(c, i, tokens, rows) {
			k.Block = i
			all = append(all, k)
		}
	}
	norm := Cost{Block: Outside, Component: NormsComponent, Parameters: 2 * c.Dim}
	if a.RMSNorm {
		norm.Parameters = c.Dim
	}
	head, rows := Cost{Block: Outside, Component: HeadComponent}, 1
	if c.LanguageModel() {
		rows = tokens
	}
	head.Linear(rows, c.Dim, c.outputs(), !a.UnbiasedOut, true)
	return append(all, norm, head)
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
