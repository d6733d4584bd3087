package qat

import (
	"fmt"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// Quantised is a model whose weights pass through quantisers.
type Quantised struct {
	Model       *layers.Model
	Options     Options
	Calibration *Calibration     // what it was made with; nil if no target needs it
	Weights     []*layers.Weight // those with a quantiser

	smooth []*graph.Param // SmoothQuant's factors, one a block
}

// Ends of the names of the parameters that quantisers add to a model's; those of the reference, but for the initial
// steps.
const (
	logStepSuffix = ".log_step"
	initSuffix    = ".init_log_step"
	salientSuffix = ".salient"
	smoothSuffix  = ".smooth_scale"
)

var addedSuffixes = []string{logStepSuffix, initSuffix, salientSuffix, smoothSuffix}

// Prepare puts quantisers on the targets of a floating-point model: steps and salient columns are set, and smoothing is
// absorbed into the weights of Q, K and V. The model itself is changed (give it a Clone); on an error it is not. The
// calibration may be nil if attention is not a target.
func Prepare(m *layers.Model, c *Calibration, o Options) (*Quantised, error) {
	if prepared(m) {
		return nil, fmt.Errorf("quantisation: the model is quantised already: prepare the floating-point model")
	}
	if err := o.Validate(m.Config); err != nil {
		return nil, err
	}
	if err := finite(m); err != nil {
		return nil, err
	}
	salient := map[string][]int{}
	if o.Has(Attention) {
		if err := c.fits(m); err != nil {
			return nil, err
		}
		for _, s := range slots(m) {
			if s.target == Attention {
				norm := s.norm(c.Blocks[s.block])
				salient[s.Name] = largest(norm, o.salient(len(norm)))
			}
		}
	}
	if err := o.holds(m); err != nil {
		return nil, err
	}
	q, err := attach(m, o, salient)
	if err != nil {
		return nil, err
	}
	q.Calibration = c
	for i, f := range q.smooth {
		b := m.Blocks[i].Attention
		absorb(f.Data(), c.Blocks[i].InputMax, o.SmoothAlpha, b.Q.W.Param, b.K.W.Param, b.V.W.Param)
	}
	for _, w := range q.Weights {
		initialise(w, o)
	}
	return q, nil
}

// holds refuses weights that are too small for the least step or scale of what would quantise them: under it they
// would not vanish but grow to the step, or all become one value. Of a larger weight single channels may be as small.
func (o Options) holds(m *layers.Model) error {
	for _, s := range slots(m) {
		if !o.Has(s.target) {
			continue
		}
		of, err := o.scheme(s.target)
		if err != nil {
			return err
		}
		mend := "leave out target " + string(s.target)
		if of == scheme.Int4Float32 {
			mend += ", or use compact metadata"
		}
		if err := reaches(s.Weight, of, mend); err != nil {
			return err
		}
	}
	return nil
}

// reaches refuses a weight all of whose values are below the least step or scale of its quantiser.
func reaches(w *layers.Weight, of *scheme.Scheme, mend string) error {
	var most float32
	for _, v := range w.Param.Data() {
		most = max(most, v, -v)
	}
	if most > 0 && float64(most) < of.Least {
		return fmt.Errorf("weight %s cannot be quantised: the largest of its values is %g, below %g, %s; %s",
			w.Name, most, of.Least, of.LeastOf, mend)
	}
	return nil
}

// fits holds a calibration against the model.
func (c *Calibration) fits(m *layers.Model) error {
	if c == nil {
		return fmt.Errorf("target %q needs calibration data", Attention)
	}
	if len(c.Blocks) != len(m.Blocks) || len(c.Blocks[0].InputMax) != m.Config.Dim {
		return fmt.Errorf("the calibration is of another model: it has %d blocks of %d channels, the model %d of %d",
			len(c.Blocks), len(c.Blocks[0].InputMax), len(m.Blocks), m.Config.Dim)
	}
	return nil
}

// attach makes the quantisers with parameters of zeros and gives them to the model's weights; on an error the model
// is not changed.
func attach(m *layers.Model, o Options, salient map[string][]int) (*Quantised, error) {
	q := &Quantised{Model: m, Options: o}
	targeted := slices.DeleteFunc(slots(m), func(s slot) bool { return !o.Has(s.target) })
	quantisers := make([]*layers.FakeQuant, len(targeted))
	for i, s := range targeted {
		var err error
		if quantisers[i], err = o.quantiser(s, salient[s.Name]); err != nil {
			return nil, fmt.Errorf("weight %s: %w", s.Name, err)
		}
	}
	for i, s := range targeted {
		s.Fake, s.Param.Frozen = quantisers[i], s.Param.Frozen || o.freezes(s.target)
		q.Weights = append(q.Weights, s.Weight)
	}
	for i, b := range m.Blocks {
		if o.Has(Attention) {
			f := graph.NewParam(fmt.Sprintf("blocks.%d.attn%s", i, smoothSuffix), m.Config.Dim)
			f.Frozen = true
			b.Attention.Smooth = f
			q.smooth = append(q.smooth, f)
		}
		if o.Has(Memory) {
			b.Memory.EntryQuant = scheme.FakeInt8
		}
	}
	return q, nil
}

// absorb is SmoothQuant (SPEC section 4): smooth = max|x|^α / (max|w|^(1-α) + 1e-8), at least 1e-5, per input channel,
// with max|w| over all the weights; W ← W ⊙ smooth. factor becomes 1/smooth, which the activations are multiplied with.
func absorb(factor, inputMax []float32, alpha float64, weights ...*graph.Param) {
	d := len(factor)
	wMax := make([]float32, d)
	for _, w := range weights {
		for i, v := range w.Data() {
			wMax[i%d] = max(wMax[i%d], v, -v)
		}
	}
	smooth := make([]float32, d)
	for j := range smooth {
		x := float32(math.Pow(float64(inputMax[j]), alpha))
		w := float32(math.Pow(float64(wMax[j]), 1-alpha))
		smooth[j] = max(x/(w+1e-8), 1e-5)
		factor[j] = 1 / smooth[j]
	}
	for _, w := range weights {
		for i, data := 0, w.Data(); i < len(data); i++ {
			data[i] *= smooth[i%d]
		}
	}
}

// largest gives the positions of the k largest values, ascending. Of equals the first is taken.
func largest(x []float32, k int) []int {
	at := make([]int, len(x))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int {
		switch {
		case x[a] > x[b]:
			return -1
		case x[a] < x[b]:
			return 1
		}
		return 0
	})
	at = at[:k]
	slices.Sort(at)
	return at
}

// initialise sets the quantiser's own parameters from the weight.
func initialise(w *layers.Weight, o Options) {
	f := w.Fake
	if f.LogStep != nil {
		init := f.Scheme.Steps.Initial(w.Param.Data(), f.LogStep.Size(), o.StepInit == InitMSE)
		copy(f.LogStep.Data(), init)
		copy(f.InitLogStep.Data(), init)
	}
	if f.Columns != nil {
		salient, cols := f.Settings.Salient, w.Shape[len(w.Shape)-1]
		for i := range f.Columns.Data() {
			f.Columns.Data()[i] = w.Param.Data()[i/len(salient)*cols+salient[i%len(salient)]]
		}
		w.ScatterSalient(w.Param.Data(), func(int, int) float32 { return 0 })
	}
}

// stepped lists the quantisers with learned steps.
func (q *Quantised) stepped() []*layers.FakeQuant {
	var all []*layers.FakeQuant
	for _, w := range q.Weights {
		if w.Fake.LogStep != nil {
			all = append(all, w.Fake)
		}
	}
	return all
}

// StepParams are the learned log step sizes, which train at a rate of their own without weight decay.
func (q *Quantised) StepParams() []*graph.Param {
	var steps []*graph.Param
	for _, f := range q.stepped() {
		steps = append(steps, f.LogStep)
	}
	return steps
}

// OtherParams are all other parameters that train: those of the model that are not frozen, and salient columns.
func (q *Quantised) OtherParams() []*graph.Param {
	var others []*graph.Param
	for _, p := range q.Model.Params.All() {
		if !p.Frozen {
			others = append(others, p)
		}
	}
	for _, w := range q.Weights {
		if w.Fake.Columns != nil {
			others = append(others, w.Fake.Columns)
		}
	}
	return others
}

// Params are the parameters that the quantisers added to the model's: log steps, their initial values, salient columns
// and smoothing factors.
func (q *Quantised) Params() []*graph.Param {
	var all []*graph.Param
	for _, w := range q.Weights {
		for _, p := range []*graph.Param{w.Fake.LogStep, w.Fake.InitLogStep, w.Fake.Columns} {
			if p != nil {
				all = append(all, p)
			}
		}
	}
	return append(all, q.smooth...)
}

// Drift is the regulariser of the step sizes as terms of the loss: lambda times the mean over the step tensors of the
// mean (log s - init)² (SPEC section 4). There is none without step sizes.
func (q *Quantised) Drift(lambda float64) []layers.Term {
	if len(q.stepped()) == 0 {
		return nil
	}
	return []layers.Term{func(g *graph.Graph, _ layers.Output) *graph.Node {
		var steps, inits []*graph.Node
		for _, f := range q.stepped() {
			steps, inits = append(steps, g.Param(f.LogStep)), append(inits, g.Param(f.InitLogStep))
		}
		return graph.Drift(g, lambda, steps, inits)
	}}
}

// StepStats tells how far the step sizes have moved.
type StepStats struct {
	Drift float64 `json:"drift"` // mean over the step tensors of the mean (log s - init)²
	Least float64 `json:"least"` // smallest s / initial s of any channel: collapse shows here
	Most  float64 `json:"most"`
}

// Steps is the state of the step sizes; ones without any.
func (q *Quantised) Steps() StepStats {
	s, stepped := StepStats{Least: math.Inf(1), Most: math.Inf(-1)}, q.stepped()
	if len(stepped) == 0 {
		return StepStats{Least: 1, Most: 1}
	}
	for _, f := range stepped {
		var square float64
		for i, l := range f.LogStep.Data() {
			d := float64(l) - float64(f.InitLogStep.Data()[i])
			square += d * d
			s.Least, s.Most = min(s.Least, math.Exp(d)), max(s.Most, math.Exp(d))
		}
		s.Drift += square / float64(f.LogStep.Size())
	}
	s.Drift /= float64(len(stepped))
	return s
}

// salientColumns lists the salient columns by weight.
func (q *Quantised) salientColumns() map[string][]int {
	columns := map[string][]int{}
	for _, w := range q.Weights {
		if len(w.Fake.Settings.Salient) > 0 {
			columns[w.Name] = w.Fake.Settings.Salient
		}
	}
	return columns
}
