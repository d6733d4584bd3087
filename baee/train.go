package baee

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/synapnet/synapnet-train/curriculum/train"
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

// Example is one of Examples.
type Example struct {
	Features []float32 // [Width]
	Label    float32
}

// Sample returns example i.
func (e Examples) Sample(i int) (Example, error) {
	return Example{e.Features[i*e.Width : (i+1)*e.Width], e.Labels[i]}, nil
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
	// into the first layer at the end, so that the classifier still takes features as they are. The weights at the start
	// are taken to be those for standardised features.
	Standardise bool
	Cosine      bool // lowers the learning rate to 0 over the steps, along a cosine
	// Report, if set, is called after each step with its number, from 1, and its loss.
	Report func(step int, loss float32)
}

// DefaultFit are the settings of the published classifier: AdamW 5e-4, weight decay 0.01, clip 1, batch 64, 400 steps
// (SPEC section 5). Betas are 0.9 and 0.999.
func DefaultFit(seed uint64) FitOptions {
	return FitOptions{LR: 5e-4, WeightDecay: 0.01, Clip: 1, Batch: 64, Steps: 400, Seed: seed}
}

// StandardisedFit are the settings that train best (results/baee): the published ones on standardised features, at a
// higher learning rate that ends at 0.
func StandardisedFit(seed uint64) FitOptions {
	o := DefaultFit(seed)
	o.LR, o.Standardise, o.Cosine = 2e-2, true, true
	return o
}

// Fit trains the classifier on examples drawn without replacement within each batch. When ctx ends its error wraps
// train.ErrInterrupted. After an error its weights are of no use.
func (c *Classifier) Fit(ctx context.Context, e Examples, o FitOptions) (err error) {
	if err := e.check(c); err != nil {
		return err
	}
	if o.Batch < 1 || o.Steps < 1 || o.LR <= 0 {
		return fmt.Errorf("classifier: batch %d, steps %d, learning rate %g: all must be above 0", o.Batch, o.Steps, o.LR)
	}
	rate := train.Constant(o.LR)
	if o.Cosine {
		rate = train.Cosine(o.LR, o.Steps)
	}
	loop := train.New[Example, train.Update, struct{}](train.Form{})
	loop.Optimiser = train.NewOptimiser(train.Recipe{Beta1: 0.9, Beta2: 0.999, Clip: o.Clip},
		train.Group{Name: "learning rate", Rate: rate, WeightDecay: o.WeightDecay, Params: c.Params()})
	if o.Report != nil {
		loop.Hooks.Step = func(u train.Update) { o.Report(u.Step, float32(u.Loss)) }
	}
	var standard *standardiser
	if o.Standardise {
		if standard, err = newStandardiser(e, c.Dim); err != nil {
			return err
		}
	}
	begin := func(context.Context) (*program, error) { return c.program(e, o, standard) }
	err = loop.Run(ctx, train.Phase[Example, train.Update, struct{}]{To: o.Steps, Begin: begin})
	if err != nil {
		return fmt.Errorf("classifier: %w", err)
	}
	if standard != nil {
		standard.fold(c)
	}
	return nil
}

type program = train.Program[Example, train.Update, struct{}]

// program computes the steps of a training on examples, whose features are standardised if there is a standardiser.
func (c *Classifier) program(e Examples, o FitOptions, standard *standardiser) (*program, error) {
	batch := min(o.Batch, e.Len())
	var features, labels, loss *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		features, labels = g.Input("features", batch, e.Width), g.Input("labels", batch, 1)
		loss = c.Loss(g, features, labels)
		g.Keep(loss)
		g.Backward(loss)
	})
	if err != nil {
		return nil, err
	}
	p, err := g.Compile()
	if err != nil {
		return nil, err
	}
	raw := make([]float32, batch*e.Width)
	return &program{
		Data:  e,
		Order: train.Drawn(e.Len(), batch, func() *rand.Rand { return rand.New(rand.NewPCG(o.Seed, 0x666974)) }),
		Backward: func(examples []Example) (float64, []gorgonia.ValueGrad, error) {
			for i, x := range examples {
				copy(raw[i*e.Width:], x.Features)
				g.Floats(labels)[i] = x.Label
			}
			if standard != nil {
				standard.apply(g.Floats(features), raw)
			} else {
				copy(g.Floats(features), raw)
			}
			if err := p.Run(); err != nil {
				return 0, nil, err
			}
			return float64(p.Value(loss)[0]), p.Gradients(), nil
		},
		Record: func(u train.Update, _ []Example) train.Update { return u },
		Close:  p.Close,
	}, nil
}

// AUC is the area under the ROC curve: the probability that a positive example has a higher score than a negative one,
// where equal scores count one half (Mann and Whitney 1947). An example is positive if its label is above 0.5. ok is
// false if there are none of one kind.
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
