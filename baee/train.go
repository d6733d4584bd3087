package baee

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
)

// Examples are what a classifier learns from.
type Examples struct {
	Width    int       // features of an example
	Features []float32 // [N, Width]
	Labels   []float32 // [N], in [0, 1]
}

// Len is the number of examples.
func (e Examples) Len() int { return len(e.Labels) }

// Share is the mean label: the share of positives, where labels are 0 and 1. It is 0 without examples.
func (e Examples) Share() float64 {
	sum := 0.0
	for _, l := range e.Labels {
		sum += float64(l)
	}
	return sum / float64(max(1, e.Len()))
}

func (e Examples) check(c *Classifier) error {
	switch {
	case e.Width != c.Width():
		return fmt.Errorf("classifier: the examples have %d features, the classifier takes %d", e.Width, c.Width())
	case e.Len() == 0:
		return fmt.Errorf("classifier: no examples: collect some first")
	case len(e.Features) != e.Len()*e.Width:
		return fmt.Errorf("classifier: got %d features for %d examples of %d", len(e.Features), e.Len(), e.Width)
	}
	return nil
}

// FitOptions are the settings of Fit; DefaultFit gives the published ones.
type FitOptions struct {
	LR          float64
	WeightDecay float64
	Clip        float64 // the largest global gradient norm
	Batch       int
	Steps       int
	Seed        uint64 // of the order of the examples
	// Standardise trains on whitened contents and histories of variance 1, with moments of the examples; the map is folded
	// into the first layer at the end, so that the classifier still takes features as they are. The weights at the start are
	// taken to be those for standardised features.
	Standardise bool
	Cosine      bool // lowers the learning rate to 0 over the steps, along a cosine
	// Report, if set, is called after each step with its number, from 1, and its loss; an error ends the training.
	Report func(step int, loss float32) error
}

// DefaultFit are the settings of the published classifier: AdamW 5e-4, weight decay 0.01, clip 1, batch 64, 400 steps
// (SPEC section 5). Betas are 0.9 and 0.999.
func DefaultFit(seed uint64) FitOptions {
	return FitOptions{LR: 5e-4, WeightDecay: 0.01, Clip: 1, Batch: 64, Steps: 400, Seed: seed}
}

// StandardisedFit are the settings that train best (results/baee): the published ones on standardised features, at a higher
// learning rate that ends at 0.
func StandardisedFit(seed uint64) FitOptions {
	o := DefaultFit(seed)
	o.LR, o.Standardise, o.Cosine = 2e-2, true, true
	return o
}

// ErrDiverged is wrapped by Fit's error if gradients are no longer finite: a lower learning rate is the mend.
var ErrDiverged = errors.New("the training diverged")

// Fit trains the classifier on examples drawn without replacement within each batch. After an error its weights are of no
// use.
func (c *Classifier) Fit(ctx context.Context, e Examples, o FitOptions) (err error) {
	if err := e.check(c); err != nil {
		return err
	}
	if o.Batch < 1 || o.Steps < 1 || o.LR <= 0 {
		return fmt.Errorf("classifier: batch %d, steps %d, learning rate %g: all must be above 0", o.Batch, o.Steps, o.LR)
	}
	var standard *standardiser
	if o.Standardise {
		if standard, err = newStandardiser(e, c.Dim); err != nil {
			return err
		}
	}
	batch := min(o.Batch, e.Len())
	var features, labels, loss *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		features, labels = g.Input("features", batch, e.Width), g.Input("labels", batch, 1)
		loss = c.Loss(g, features, labels)
		g.Keep(loss)
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
	group := &graph.Group{LR: o.LR, WeightDecay: o.WeightDecay, Params: c.Params()}
	opt := graph.NewAdamW(0.9, 0.999, o.Clip, group)
	rng := rand.New(rand.NewPCG(o.Seed, 0x666974))
	order := rng.Perm(e.Len())
	raw := make([]float32, batch*e.Width)
	for step := 1; step <= o.Steps; step++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if o.Cosine {
			group.LR = o.LR * (1 + math.Cos(math.Pi*float64(step-1)/float64(o.Steps))) / 2
		}
		for i := range batch { // the first places of a Fisher-Yates shuffle
			j := i + rng.IntN(len(order)-i)
			order[i], order[j] = order[j], order[i]
			copy(raw[i*e.Width:(i+1)*e.Width], e.Features[order[i]*e.Width:])
			g.Floats(labels)[i] = e.Labels[order[i]]
		}
		if standard != nil {
			standard.apply(g.Floats(features), raw)
		} else {
			copy(g.Floats(features), raw)
		}
		if err := p.Run(); err != nil {
			return err
		}
		if err := opt.Step(p.Gradients()); err != nil {
			if norm := opt.Norm(); norm-norm != 0 {
				err = fmt.Errorf("%w: %w", err, ErrDiverged)
			}
			return fmt.Errorf("classifier: training stopped at step %d of %d at learning rate %g: %w", step, o.Steps, o.LR, err)
		}
		if o.Report != nil {
			if err := o.Report(step, p.Value(loss)[0]); err != nil {
				return err
			}
		}
	}
	if standard != nil {
		standard.fold(c)
	}
	return nil
}

// AUC is the area under the ROC curve: the probability that a positive example has a higher score than a negative one,
// where equal scores count one half (Mann and Whitney 1947). An example is positive if its label is above 0.5. ok is false
// if there are none of one kind.
func AUC(scores, labels []float32) (auc float64, ok bool) {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(scores[i], scores[j]) })
	positives, negatives, won := 0.0, 0.0, 0.0
	for from := 0; from < len(order); {
		to := from
		p, n := 0.0, 0.0
		for ; to < len(order) && scores[order[to]] == scores[order[from]]; to++ {
			if labels[order[to]] > 0.5 {
				p++
			} else {
				n++
			}
		}
		if to == from { // NaN equals nothing: no order, no area
			return 0, false
		}
		won += p*negatives + p*n/2
		positives, negatives, from = positives+p, negatives+n, to
	}
	if positives == 0 || negatives == 0 {
		return 0, false
	}
	return won / (positives * negatives), true
}
