package measure

import (
	"context"
	"time"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
)

// Batch is what a program is timed on that need not be this one: passes over one batch, in inference or training. All
// of it is given, so that every side computes the same.
type Batch struct {
	Model   string     `json:"model"`   // file in float32
	Context int        `json:"context"` // tokens of a sample
	Batch   int        `json:"batch"`   // samples
	IDs     []int32    `json:"ids"`     // [batch, context]
	Labels  []int32    `json:"labels"`  // [batch]
	Train   *Optimiser `json:"train,omitempty"`
	Warmups int        `json:"warmups"` // passes that are not timed; in training each is a step
	Threads int        `json:"threads"`
	// Compiled has PyTorch compile the model before it runs.
	Compiled bool `json:"compiled,omitempty"`
}

// Optimiser is AdamW over all parameters; nil in a Batch is inference.
type Optimiser struct {
	LR          float64 `json:"lr"`
	Beta1       float64 `json:"beta1"`
	Beta2       float64 `json:"beta2"`
	WeightDecay float64 `json:"weight_decay"`
	Clip        float64 `json:"clip"` // norm of all gradients
}

// BatchReady is what a side tells of itself before its first turn.
type BatchReady struct {
	// Computed are the losses of the warm-up steps, or all logits of the warm-up passes: those of two sides agree, or they
	// are not of the same model.
	Computed []float64 `json:"computed"`
	Version  string    `json:"version"` // "": this program
	Build    string    `json:"build"`   // libraries and instructions
}

// BatchEnd is what it tells after the last.
type BatchEnd struct {
	PeakRSS uint64 `json:"peak_rss_bytes"` // of the process; 0: the system does not tell
}

// Open has a new process of this program begin.
func (b Batch) Open(ctx context.Context) (s *Session, ready BatchReady, err error) {
	s, err = Open(ctx, b.Threads, batchKind, b, &ready)
	return s, ready, err
}

// begin warms up in this process.
func (b Batch) begin(ctx context.Context) (t Turns, err error) {
	m, err := layers.Load(b.Model)
	if err != nil {
		return t, err
	}
	pass, err := b.pass(m)
	if err != nil {
		return t, err
	}
	var ready BatchReady
	for range b.Warmups {
		if err := ctx.Err(); err != nil {
			return t, err
		}
		computed, err := pass()
		if err != nil {
			return t, err
		}
		for _, x := range computed {
			ready.Computed = append(ready.Computed, float64(x))
		}
	}
	turn := func(ctx context.Context) (time.Duration, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		start := time.Now()
		_, err := pass()
		return time.Since(start), err
	}
	return Turns{Ready: ready, Turn: turn, End: func() any { return BatchEnd{host.PeakRSS()} }}, nil
}

// pass compiles a pass, which gives the logits, or the loss of a training step.
func (b Batch) pass(m *layers.Model) (func() ([]float32, error), error) {
	if b.Train == nil {
		f, err := m.Infer(b.Batch, b.Context, 0)
		if err != nil {
			return nil, err
		}
		return func() ([]float32, error) { return f.Run(b.IDs, nil) }, nil
	}
	t, err := m.Train(b.Batch, b.Context)
	if err != nil {
		return nil, err
	}
	o := b.Train
	solver := graph.NewAdamW(o.Beta1, o.Beta2, o.Clip,
		&graph.Group{LR: o.LR, WeightDecay: o.WeightDecay, Params: m.Params.All()})
	return func() ([]float32, error) {
		loss, err := t.Run(b.IDs, b.Labels)
		if err != nil {
			return nil, err
		}
		return []float32{loss}, solver.Step(t.Program.Gradients())
	}, nil
}

// Disagreement is the largest difference between two sides' values over the largest of them: about 1e-6 where float32
// is summed in another order; 1 if they are not of the same things.
func (r BatchReady) Disagreement(o BatchReady) float64 {
	if len(r.Computed) != len(o.Computed) || len(r.Computed) == 0 {
		return 1
	}
	difference, size := 0., 0.
	for i, x := range r.Computed {
		difference, size = max(difference, x-o.Computed[i], o.Computed[i]-x), max(size, x, -x)
	}
	return difference / size
}
