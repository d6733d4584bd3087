package conform

import (
	"fmt"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// train runs the optimiser for as many steps as the file has batches.
func (c *check) train() error {
	ids, shape := c.ints("in.ids")
	labels, _ := c.ints("in.labels")
	if c.err != nil {
		return c.err
	}
	if len(shape) != 3 {
		return fmt.Errorf("tensor in.ids has shape %v, want [steps, B, T]", shape)
	}
	steps, batch, tokens := shape[0], shape[1], shape[2]
	m, err := c.model("w0.", batch*tokens)
	if err != nil {
		return err
	}
	perStep := batch // labels: one a sample; for a language model one a token
	if m.Config.LanguageModel() {
		perStep *= tokens
	}
	if perStep == 0 || len(labels) != steps*perStep {
		return fmt.Errorf("tensor in.ids has shape %v and there are %d labels, want [steps, B, T] and %d a step",
			shape, len(labels), perStep)
	}
	t, err := m.Gradients(batch, tokens)
	if err != nil {
		return err
	}
	opt := graph.NewAdamW(c.conf.Betas[0], c.conf.Betas[1], c.conf.GradClip,
		&graph.Group{LR: c.conf.LR, WeightDecay: c.conf.WeightDecay, Params: m.Params.All()})
	opt.Eps = c.conf.Eps
	var losses, norms []float32
	for i := range steps {
		loss, err := t.Run(ids[i*batch*tokens:(i+1)*batch*tokens], labels[i*perStep:(i+1)*perStep])
		if err != nil {
			return err
		}
		if err := opt.Step(t.Program.Gradients()); err != nil {
			return err
		}
		losses, norms = append(losses, loss), append(norms, float32(opt.Norm()))
		c.measureStep(i, m, t.Program, opt)
	}
	c.compare("out.losses", losses)
	c.compare("out.grad_norms", norms)
	for _, p := range m.Params.All() {
		name := fmt.Sprintf("w%d.%s", steps, p.Name)
		c.compareAs(name, name, p.Data(), c.adamSlack(p.Name, steps))
	}
	return c.err
}

// Names under which a step's clipped gradient, and the root of Adam's second moment after it, are measured.
func stepGradient(step int, param string) string { return fmt.Sprintf("step %d: g.%s", step, param) }
func stepRoot(step int, param string) string     { return fmt.Sprintf("step %d: v.%s", step, param) }

// measureStep keeps what adamSlack needs of one step.
func (c *check) measureStep(step int, m *layers.Model, p *graph.Program, opt *graph.AdamW) {
	scale := float32(1)
	if opt.Clip > 0 {
		scale = float32(min(1, opt.Clip/(opt.Norm()+1e-6)))
	}
	for _, param := range m.Params.All() {
		grad := slices.Clone(p.Grad(param))
		for i := range grad {
			grad[i] *= scale
		}
		c.measure(stepGradient(step, param.Name), grad)
		if c.draw > 0 || len(grad) == 0 {
			continue
		}
		s := opt.State(param)
		root := make([]float32, len(s.V))
		for i, v := range s.V {
			root[i] = float32(math.Sqrt(float64(v) / (1 - math.Pow(opt.Beta2, float64(s.Step)))))
		}
		c.first[stepRoot(step, param.Name)] = root
	}
}

// adamSlack is how far the optimiser may take two right implementations apart in an element of a parameter. Adam
// divides the mean gradient m by the root of the mean square v. An error of up to n in each gradient so far is one of
// up to n in m and, the root of a mean of squares being a norm, in √v: the step lr·m/(√v+ε) errs by up to lr·n/√v·(1 +
// |m|/√v), which is 2·lr·n/√v as long as the gradient is no outlier among its own. That is nothing where a gradient
// stands out of its rounding, and all of the step, in either direction, where it is rounding: a gradient that is zero
// in exact arithmetic (the last bias of the salience MLP: r and its threshold move together) takes a weight up in one
// implementation and down in the other. An element whose gradient is exactly zero, in each of our runs, does not move.
func (c *check) adamSlack(param string, steps int) func() []float64 {
	return func() []float64 {
		var slack []float64
		noise := 0.0 // the largest so far
		for step := range steps {
			name := stepGradient(step, param)
			noise = max(noise, c.floor(name))
			root := c.first[stepRoot(step, param)]
			if slack == nil {
				slack = make([]float64, len(root))
			}
			for i, v := range root {
				if v > 0 || c.moved[name][i] {
					slack[i] += 2 * c.conf.LR * min(1, noise/(float64(v)+c.conf.Eps))
				}
			}
		}
		return slack
	}
}
