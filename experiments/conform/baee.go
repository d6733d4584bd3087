package conform

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/files"
)

// retention runs the retention classifier forward and backward, and its path for inference.
func (c *check) retention() error {
	first, ok := c.file.Lookup("w.net.0.weight")
	entries, found := c.file.Lookup("in.entries")
	if !ok || !found || len(first.Shape) != 2 || len(entries.Shape) != 3 {
		return fmt.Errorf("tensors w.net.0.weight and in.entries are missing or not [H, D+%d] and [B, S, D]",
			baee.HistoryFeatures)
	}
	batch, slots, d := entries.Shape[0], entries.Shape[1], entries.Shape[2]
	net, err := baee.NewClassifier(d, first.Shape[0], 0)
	if err != nil {
		return err
	}
	if err := net.SetWeights(c.file, "w."); err != nil {
		return err
	}
	c.perturb(net.Params(), batch*slots)
	features, err := c.retentionFeatures(batch, slots, d)
	if err != nil {
		return err
	}
	labels := c.floats("in.attn_weight")
	if len(labels) != batch*slots {
		return fmt.Errorf("tensor in.attn_weight has %d elements, want %d", len(labels), batch*slots)
	}
	var scores, loss *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		x, y := g.Input("features", batch*slots, d+baee.HistoryFeatures), g.Input("labels", batch*slots, 1)
		copy(g.Floats(x), features)
		copy(g.Floats(y), labels)
		scores = net.Forward(g, x)
		loss = graph.BinaryCrossEntropy(g, scores, y)
		g.Keep(scores, loss)
		g.Backward(loss)
	})
	if err != nil {
		return err
	}
	p, err := g.Compile()
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Run(); err != nil {
		return err
	}
	c.compare("out.scores", p.Value(scores))
	c.compare("out.loss", p.Value(loss))
	for _, param := range net.Params() {
		c.compare("g."+param.Name, p.Grad(param))
	}
	c.compareAs("out.scores", "out.scores (inference)", net.Scores(features), nil)
	return c.err
}

// retentionFeatures puts an entry's content and its history side by side.
func (c *check) retentionFeatures(batch, slots, d int) ([]float32, error) {
	entries, position := c.floats("in.entries"), c.floats("in.position")
	salience, age, uses := c.floats("in.salience"), c.floats("in.age"), c.floats("in.use_count")
	if c.err != nil {
		return nil, c.err
	}
	n := batch * slots
	if len(position) != slots || len(salience) != n || len(age) != n || len(uses) != n {
		return nil, fmt.Errorf("in.position, in.salience, in.age and in.use_count have %d, %d, %d and %d elements, want %d "+
			"and three times %d", len(position), len(salience), len(age), len(uses), slots, n)
	}
	var x []float32
	for i := range n {
		x = append(x, entries[i*d:(i+1)*d]...)
		x = append(x, salience[i], position[i%slots], age[i], uses[i])
	}
	return x, nil
}

// policyCase is one decision of each policy of the reference.
type policyCase struct {
	Budget  int `json:"budget"`
	Layer   int `json:"layer"`
	Layers  int `json:"n_layers"`
	Entries []struct {
		Salience  float32 `json:"salience"`
		Age       int     `json:"age"`
		Attention float64 `json:"attention"`
	} `json:"entries"`
	Kept map[string][]int `json:"kept"`
}

// maxDecisions is the most that a file of decisions may have, in bytes.
const maxDecisions = 64 << 20

// policies compares what the paper rules keep, as sets, with a JSON list of decisions of the reference.
func policies(path string) (*Comparison, error) {
	text, err := files.Read(path, maxDecisions)
	if err != nil {
		return nil, err
	}
	var cases []policyCase
	if err := json.Unmarshal(text, &cases); err != nil {
		return nil, fmt.Errorf("%s: not a list of eviction decisions: %w", path, err)
	}
	report := &Comparison{Case: "eviction policies, paper rules"}
	for i, c := range cases {
		for _, name := range slices.Sorted(maps.Keys(c.Kept)) {
			r, err := c.run(name)
			if err != nil {
				return nil, fmt.Errorf("%s: case %d: %w", path, i, err)
			}
			r.Name = fmt.Sprintf("case %d, %d of %d: %s", i, c.Budget, len(c.Entries), name)
			report.Results = append(report.Results, r)
		}
	}
	if len(report.Results) == 0 {
		return nil, fmt.Errorf("%s: no decisions in it", path)
	}
	return report, nil
}

// run compares one policy. Worst counts the entries that only one side keeps.
func (c policyCase) run(name string) (Result, error) {
	p, err := policy.Lookup(name)
	if err != nil {
		return Result{}, err
	}
	if p.Paper == nil || c.Budget < 1 {
		return Result{}, fmt.Errorf("policy %s with budget %d: there is no paper rule, or the budget is not above 0", name,
			c.Budget)
	}
	entries := make([]policy.Entry, len(c.Entries))
	for i, e := range c.Entries {
		entries[i] = policy.Entry{ID: uint64(i), Position: int64(i), Salience: e.Salience, Age: e.Age, Attention: e.Attention}
	}
	got := p.Paper(&policy.Context{Layer: c.Layer, Layers: c.Layers}, entries, c.Budget)
	r := Result{Got: float64(len(got)), Want: float64(len(c.Kept[name]))}
	for i := range entries {
		if slices.Contains(got, i) != slices.Contains(c.Kept[name], i) {
			r.Worst, r.At = r.Worst+1, i
		}
	}
	r.OK = r.Worst == 0
	return r, nil
}
