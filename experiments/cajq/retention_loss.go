package cajq

import (
	"fmt"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// RetentionLoss trains the retention classifier c along with model m: the binary cross-entropy of its scores of the
// entries that a sample writes, in all blocks, against the attention that they receive in the read of the same sample
// (SPEC section 4; SPEC section 5). As in baee-train an entry is labelled 1 if it is among the 30% of the entries there
// that received most, summed over the queries, and 0 otherwise, so that scores mean the same, however even a model's
// attention is. Labels are constants. The gradient reaches the model through the entries and their salience.
//
// A sample is one chunk: its entries are new, so that age and use count are 0. What entries receive in later chunks is
// what baee-train collects.
func RetentionLoss(c *baee.Classifier, m *layers.Model) *qat.Auxiliary {
	return &qat.Auxiliary{Params: c.Params(), Loss: func(g *graph.Graph, out layers.Output) *graph.Node {
		var features, labels *graph.Node
		for i, b := range out.Blocks {
			f, l := retentionExamples(g, m.Blocks[i].Memory, b)
			if i == 0 {
				features, labels = f, l
				continue
			}
			features, labels = graph.ConcatRows(g, features, f), graph.ConcatRows(g, labels, l)
		}
		return c.Loss(g, features, labels)
	}}
}

// retentionExamples are the features [B, N, D + HistoryFeatures] and labels [B, N, 1] of the N entries that a block
// writes.
func retentionExamples(g *graph.Graph, memory *layers.EpisodicMemory, b layers.BlockOutput) (features,
	labels *graph.Node) {
	n := min(memory.Writes(graph.Shape(b.Salience.Sigma)[1]), memory.Slots)
	received := b.Read.Received
	if received == nil { // the model's own read does not tell: the same read once more, from its projections
		_, received = graph.MemoryRead(g, b.Read.Queries, b.Read.Keys, b.Read.Values, nil, memory.Slots, 1)
	}
	features = graph.Apply(g, freshFeatures{n, memory.Slots}, b.Bank, b.Salience.Sigma, b.Salience.Top)
	return features, graph.Detach(g, graph.Apply(g, receivedLabels{n}, received))
}

// freshFeatures are the classifier's features of the first n rows of a bank [B, S, D] just written, whose tokens are
// the first of top (int32 [B, ≥ n]) with the saliences sigma [B, T]. The gradient of the content goes to the bank, that
// of the salience, which is the first feature behind the content, to sigma.
type freshFeatures struct{ n, slots int }

func (k freshFeatures) String() string {
	return fmt.Sprintf("freshfeatures(n=%d slots=%d)", k.n, k.slots)
}

func (k freshFeatures) Plan(in []graph.Spec) (graph.Plan, error) {
	bank, sigma, top := in[0], in[1], in[2]
	if len(bank.Shape) != 3 || len(sigma.Shape) != 2 || len(top.Shape) != 2 || !top.Ints || bank.Shape[1] < k.n ||
		top.Shape[1] < k.n {
		return graph.Plan{}, fmt.Errorf("got %v, %v and %v, want [B, S, D], [B, T] and integers [B, k] with S and k at "+
			"least %d", bank.Shape, sigma.Shape, top.Shape, k.n)
	}
	return graph.Plan{Out: graph.Spec{Shape: []int{bank.Shape[0], k.n, bank.Shape[2] + baee.HistoryFeatures}},
		Unread: []int{0, 1}}, nil
}

func (k freshFeatures) Forward(c *graph.Call) {
	batch, s, d, t := c.In[0].Dim(0), c.In[0].Dim(1), c.In[0].Dim(2), c.In[1].Dim(1)
	for b := range batch {
		for i := range k.n {
			f := c.Out.F[(b*k.n+i)*(d+baee.HistoryFeatures):][:d+baee.HistoryFeatures]
			copy(f, c.In[0].F[(b*s+i)*d:][:d])
			at := int(c.In[2].I[b*c.In[2].Dim(1)+i])
			baee.History(f[d:], &policy.Entry{Salience: c.In[1].F[b*t+at], Slot: i}, k.slots)
		}
	}
}

func (k freshFeatures) Backward(c *graph.Call) {
	batch, s, d, t := c.In[0].Dim(0), c.In[0].Dim(1), c.In[0].Dim(2), c.In[1].Dim(1)
	bank, sigma := c.GradIn[0].F, c.GradIn[1].F
	clear(bank)
	clear(sigma)
	for b := range batch {
		for i := range k.n {
			df := c.Grad.F[(b*k.n+i)*(d+baee.HistoryFeatures):][:d+baee.HistoryFeatures]
			if bank != nil {
				copy(bank[(b*s+i)*d:][:d], df)
			}
			if sigma != nil {
				sigma[b*t+int(c.In[2].I[b*c.In[2].Dim(1)+i])] += df[d]
			}
		}
	}
}

// receivedLabels are the labels of the first n rows from the attention received [B, 3, K]. They have no gradient.
type receivedLabels struct{ n int }

func (k receivedLabels) String() string { return fmt.Sprintf("receivedlabels(n=%d)", k.n) }

func (k receivedLabels) Plan(in []graph.Spec) (graph.Plan, error) {
	if s := in[0].Shape; len(s) != 3 || s[2] < k.n {
		return graph.Plan{}, fmt.Errorf("got %v, want the attention of at least %d rows", s, k.n)
	}
	return graph.Plan{Out: graph.Spec{Shape: []int{in[0].Shape[0], k.n, 1}}}, nil
}

func (k receivedLabels) Forward(c *graph.Call) {
	kinds, rows := c.In[0].Dim(1), c.In[0].Dim(2)
	scores := make([]float64, k.n)
	for b := range c.In[0].Dim(0) {
		all := c.In[0].F[(b*kinds+graph.ReceivedAll)*rows:]
		for i := range scores {
			scores[i] = float64(all[i])
		}
		labels := c.Out.F[b*k.n : (b+1)*k.n]
		clear(labels)
		for _, i := range policy.Top(scores, max(1, int(baee.PositiveShare*float64(k.n)))) {
			labels[i] = 1
		}
	}
}
