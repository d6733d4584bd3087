package conform

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
	"github.com/synapnet/synapnet-train/qat"
)

// attention calibrates a model, quantises its attention (SmoothQuant, INT4 groups, salient columns) and runs it.
func (c *check) attention() error {
	batches, shape := c.ints("in.calib")
	ids, idsShape := c.ints("in.ids")
	m, err := c.model("w.", max(len(ids), len(batches)))
	if err != nil {
		return err
	}
	if c.err != nil {
		return c.err
	}
	if len(shape) != 3 || len(idsShape) != 2 {
		return fmt.Errorf("tensors in.calib and in.ids have shapes %v and %v, want [batches, B, T] and [B, T]", shape,
			idsShape)
	}
	data := qat.Batches{Size: shape[1], Tokens: shape[2]}
	for i := range shape[0] {
		n := shape[1] * shape[2]
		data.IDs = append(data.IDs, batches[i*n:(i+1)*n])
	}
	calibration, err := qat.Calibrate(m, data)
	if err != nil {
		return err
	}
	q, err := qat.Prepare(m, calibration, c.conf.attentionOptions())
	if err != nil {
		return err
	}
	for i, b := range m.Blocks {
		c.compare(fmt.Sprintf("q.blocks.%d.attn.smooth_scale", i), b.Attention.Smooth.Data())
	}
	for _, w := range q.Weights {
		if err := c.int4Weight(w); err != nil {
			return err
		}
	}
	return c.logits(m, ids, idsShape)
}

// attentionOptions are the case's settings. As in the reference, a group is never longer than a row and there is at
// least one salient column.
func (c caseConfig) attentionOptions() qat.Options {
	o := qat.DefaultOptions()
	o.Targets = []qat.Target{qat.Attention}
	o.SmoothAlpha = c.Alpha
	o.GroupSize = min(c.GroupSize, c.Dim)
	o.SalientFraction = max(c.SalientFrac, 1e-9)
	return o
}

// int4Weight compares one quantised weight of the attention.
func (c *check) int4Weight(w *layers.Weight) error {
	name := "q." + w.Name[:len(w.Name)-len("weight")]
	rest := slices.Clone(w.Param.Data())
	w.ScatterSalient(rest, func(int, int) float32 { return 0 })
	q, err := scheme.QuantizeInt4(rest, w.Shape[1], w.Fake.Settings.Group)
	if err != nil {
		return err
	}
	c.compareInts(name+"w_int4", widen(q.Codes), nil)
	c.compare(name+"scales", q.Scales)
	c.compare(name+"zeros", q.Zeros)
	mask := make([]int32, q.Cols)
	for _, j := range w.Fake.Settings.Salient {
		mask[j] = 1
	}
	c.compareInts(name+"salient_mask", mask, nil)
	var salient []float32
	for i, x := range w.Merged() {
		if mask[i%q.Cols] == 1 {
			salient = append(salient, x)
		}
	}
	c.compare(name+"salient", salient)
	return c.err
}

// logits compares those of the model as it is.
func (c *check) logits(m *layers.Model, ids []int32, shape []int) error {
	inf, err := m.Infer(shape[0], shape[1], 0)
	if err != nil {
		return err
	}
	got, err := inf.Run(ids, nil)
	if err != nil {
		return err
	}
	c.compare("out.logits", got)
	return c.err
}

// quantisers compares the single quantisers that the file has tensors of.
func (c *check) quantisers() error {
	for _, q := range []struct {
		marker string
		run    func() error
	}{{"int4.w", c.int4}, {"int8.bank", c.int8}, {"seq2.w", c.seq2}} {
		if _, ok := c.file.Lookup(q.marker); !ok {
			continue
		}
		if err := q.run(); err != nil {
			return err
		}
	}
	return c.err
}

func (c *check) int4() error {
	w, shape, err := c.matrix("int4.w")
	if err != nil {
		return err
	}
	q, err := scheme.QuantizeInt4(w, shape[len(shape)-1], c.conf.Int4Group)
	if err != nil {
		return err
	}
	c.compareInts("int4.q", widen(q.Codes), nil)
	c.compare("int4.scales", q.Scales)
	c.compare("int4.zeros", q.Zeros)
	return c.node("int4.deq", func(g *graph.Graph) *graph.Node {
		return scheme.Int4Float32.Fake(g, constant(g, "w", w, shape), nil, scheme.Settings{Group: c.conf.Int4Group})
	})
}

func (c *check) int8() error {
	x, shape, err := c.matrix("int8.bank")
	if err != nil {
		return err
	}
	q, err := scheme.QuantizeInt8(x, shape[len(shape)-1])
	if err != nil {
		return err
	}
	c.compareInts("int8.q", widen(q.Codes), nil)
	scales := make([]float32, len(q.Scales))
	for i, s := range q.Scales {
		scales[i] = s.Float32()
	}
	c.compare("int8.scales", scales)
	return c.node("int8.deq", func(g *graph.Graph) *graph.Node {
		return scheme.FakeInt8(g, constant(g, "bank", x, shape))
	})
}

// seq2 compares the 2-bit quantiser and its gradients under the upstream gradient of the file.
func (c *check) seq2() error {
	w, shape, err := c.matrix("seq2.w")
	if err != nil {
		return err
	}
	logStep, upstream := c.floats("seq2.log_step"), c.floats("seq2.upstream")
	if c.err != nil {
		return c.err
	}
	if len(logStep) != shape[0] || len(upstream) != len(w) {
		return fmt.Errorf("seq2: %d log steps and %d upstream gradients for weights %v, want one a row and one a weight",
			len(logStep), len(upstream), shape)
	}
	c.terms = shape[len(shape)-1] // in the gradient of a row's log step
	weight, step := graph.NewParam("w", shape...), graph.NewParam("log_step", shape[0])
	copy(weight.Data(), w)
	copy(step.Data(), logStep)
	var out *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		out = scheme.SEQ2.Fake(g, g.Param(weight), g.Param(step), scheme.Settings{})
		g.Keep(out)
		g.Backward(graph.Apply(g, dot{}, out, constant(g, "upstream", upstream, shape)))
	})
	if err != nil {
		return err
	}
	p, err := run(g)
	if err != nil {
		return err
	}
	c.compare("seq2.out", p.Value(out))
	c.compare("seq2.grad_w", p.Grad(weight))
	c.compare("seq2.grad_log_step", p.Grad(step))
	return c.err
}

// dot is Σ x ⊙ u: the loss under which the gradient of x is u.
type dot struct{}

func (dot) String() string { return "conform.dot" }

func (dot) Plan([]graph.Spec) (graph.Plan, error) {
	return graph.Plan{Out: graph.Spec{Shape: []int{1}}, Unread: []int{0}}, nil
}

func (dot) Forward(c *graph.Call) {
	c.Out.F[0] = 0
	for i, u := range c.In[1].F {
		c.Out.F[0] += c.In[0].F[i] * u
	}
}

func (dot) Backward(c *graph.Call) {
	for i, u := range c.In[1].F {
		if c.GradIn[0].F != nil {
			c.GradIn[0].F[i] = u * c.Grad.F[0]
		}
	}
}

// node compares the value of a graph of one result.
func (c *check) node(name string, build func(g *graph.Graph) *graph.Node) error {
	var out *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		out = build(g)
		g.Keep(out)
	})
	if err != nil {
		return err
	}
	p, err := run(g)
	if err != nil {
		return err
	}
	c.compare(name, p.Value(out))
	return c.err
}

func run(g *graph.Graph) (*graph.Program, error) {
	p, err := g.Compile()
	if err != nil {
		return nil, err
	}
	return p, p.Run()
}

func constant(g *graph.Graph, name string, data []float32, shape []int) *graph.Node {
	n := g.Input(name, shape...)
	copy(g.Floats(n), data)
	return n
}

// matrix reads a tensor of at least two dimensions with its shape.
func (c *check) matrix(name string) ([]float32, []int, error) {
	v := c.floats(name)
	t, _ := c.file.Lookup(name)
	if c.err == nil && (len(t.Shape) < 2 || len(v) == 0) {
		c.fail("tensor %s has shape %v, want [..., columns] with at least one element", name, t.Shape)
	}
	return v, t.Shape, c.err
}

func widen(codes []int8) []int32 {
	wide := make([]int32, len(codes))
	for i, q := range codes {
		wide[i] = int32(q)
	}
	return wide
}
