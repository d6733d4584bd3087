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
	NormsComponent       = "norms" // those of the blocks and of the head; the bridge's own count as bridge
	HeadComponent        = "head"
)

// Components lists all of them.
func Components() []string {
	return []string{
		EmbeddingComponent, SSMComponent, AttentionComponent, MemoryComponent, BridgeComponent, GatesComponent,
		FeedForwardComponent, NormsComponent, HeadComponent,
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

// linear adds a layer [in] → [out] applied to a number of rows; without gradient if it does not act on the loss.
func (k *Cost) linear(rows, in, out int, bias, gradient bool) {
	k.Parameters += in * out
	if bias {
		k.Parameters += out
	}
	k.product(rows, in, out, gradient)
}

// product adds a matrix product of `rows` rows of `in` elements to rows of `out`.
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

func (c Config) costs(tokens int, every bool) []Cost {
	if c.Architecture != SynapNet {
		return c.baselineCosts(tokens, every)
	}
	all := []Cost{{Block: Outside, Component: EmbeddingComponent, Parameters: (c.VocabSize + c.MaxLen) * c.Dim}}
	for i := range c.Depth {
		rows, gated := tokens, tokens
		if i == c.Depth-1 && !every {
			rows, gated = 1, min(tokens, KernelSize/2+1)
		}
		all = append(all, c.blockCosts(i, tokens, rows, gated)...)
	}
	norm := Cost{Block: Outside, Component: NormsComponent, Parameters: 2 * c.Dim}
	head := Cost{Block: Outside, Component: HeadComponent}
	if c.LanguageModel() {
		head.linear(tokens, c.Dim, c.VocabSize, true, true)
	} else {
		head.linear(1, c.Dim, c.NumClasses, true, true)
	}
	return append(all, norm, head)
}

// blockCosts is block i for T tokens of which `rows` are wanted and `gated` go through the SSM's gate.
func (c Config) blockCosts(i, tokens, rows, gated int) []Cost {
	d := c.Dim
	dense := tokens <= c.SparseThreshold
	keys := tokens
	if !dense {
		keys = fraction(c.KFrac, tokens)
	}
	ssm := Cost{Component: SSMComponent, Parameters: (KernelSize + 1) * d}
	ssm.linear(gated, d, d, true, true)

	attention := Cost{Component: AttentionComponent}
	attention.linear(rows, d, d, false, true) // Q
	attention.linear(keys, d, d, false, true) // K
	attention.linear(keys, d, d, false, true) // V
	attention.attend(rows, keys, d)
	attention.linear(rows, d, d, true, true)
	attention.linear(tokens, d, d/2, true, dense) // the choice of tokens has no gradient, the bias has
	attention.linear(tokens, d/2, 1, true, dense)

	memory := Cost{Component: MemoryComponent}
	memory.linear(c.EpisodicSlots, d, d, false, true) // key
	memory.linear(c.EpisodicSlots, d, d, false, true) // value
	memory.linear(rows, d, d, false, true)            // query
	memory.attend(rows, c.EpisodicSlots, d)
	memory.linear(rows, d, d, true, true)

	all := []Cost{ssm, attention, memory}
	if c.UseScaleBridge {
		bridge := Cost{Component: BridgeComponent, Parameters: 3 * 2 * d}
		bridge.linear(rows, 3*d, 3*d, true, true)
		all = append(all, bridge)
	}
	gates := Cost{Component: GatesComponent}
	gates.linear(rows, d, d, true, true)
	gates.linear(rows, d, d, true, true)

	forward := Cost{Component: FeedForwardComponent}
	forward.linear(rows, d, c.hidden(), true, true)
	forward.linear(rows, c.hidden(), d, true, true)

	all = append(all, gates, forward, Cost{Component: NormsComponent, Parameters: 2 * 2 * d})
	for j := range all {
		all[j].Block = i
	}
	return all
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
