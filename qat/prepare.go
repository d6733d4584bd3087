package qat

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// Quantised is a model whose weights pass through quantisers.
type Quantised struct {
	Model       *layers.Model
	Options     Options
	Calibration *Calibration // what it was made with; nil if no target needs it
	Weights     []*Weight

	smooth []*graph.Param // SmoothQuant's factors, one a block
}

// Ends of the names of the parameters that quantisers add to a model's; those of the reference, but for the initial steps.
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
				salient[s.param.Name] = largest(norm, o.salient(len(norm)))
			}
		}
	}
	if err := o.holds(m); err != nil {
		return nil, err
	}
	q := attach(m, o, salient)
	q.Calibration = c
	for i, f := range q.smooth {
		b := m.Blocks[i].Attention
		absorb(f.Data(), c.Blocks[i].InputMax, o.SmoothAlpha, b.Q.W, b.K.W, b.V.W)
	}
	for _, w := range q.Weights {
		w.initialise(o)
	}
	return q, nil
}

// holds refuses weights that are too small for the least step or scale of what would quantise them: under it they would not
// vanish but grow to the step, or all become one value. Of a larger weight single channels may be as small.
func (o Options) holds(m *layers.Model) error {
	for _, s := range slots(m) {
		if !o.Has(s.target) {
			continue
		}
		least, what, mend := 0.0, "", "leave out target "+string(s.target)
		switch scheme := o.scheme(s.target); {
		case scheme == Scheme2Bit || scheme == Scheme7Level:
			least, what = 1.5*graph.LeastInitialStep, "the reach of the least 2-bit step"
		case scheme == SchemeInt4 && o.Metadata == MetadataFloat32:
			least, what, mend = leastInt4, "the reach of the least INT4 scale in float32", mend+", or use compact metadata"
		}
		if err := reaches(s.param, least, what, mend); err != nil {
			return err
		}
	}
	return nil
}

// leastInt4 is the value that the least scale reaches in a group from -leastInt4 to leastInt4.
const leastInt4 = 7.5 * graph.LeastInt4Scale

// holdsInt4 is holds for INT4 with scales in float32.
func holdsInt4(p *graph.Param) error {
	return reaches(p, leastInt4, "the reach of the least INT4 scale in float32", "leave it in floating point")
}

// reaches refuses a weight all of whose values are below the least step or scale of its quantiser.
func reaches(p *graph.Param, least float64, what, mend string) error {
	var most float32
	for _, v := range p.Data() {
		most = max(most, v, -v)
	}
	if most > 0 && float64(most) < least {
		return fmt.Errorf("weight %s cannot be quantised: the largest of its values is %g, below %g, %s; %s", p.Name, most, least, what, mend)
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

// attach makes the quantisers with parameters of zeros and puts them into the model's hooks.
func attach(m *layers.Model, o Options, salient map[string][]int) *Quantised {
	q := &Quantised{Model: m, Options: o}
	for _, s := range slots(m) {
		if !o.Has(s.target) {
			continue
		}
		w := &Weight{Target: s.target, Scheme: o.scheme(s.target), Param: s.param}
		switch w.Scheme {
		case Scheme2Bit, Scheme7Level:
			w.LogStep = graph.NewParam(s.step, s.param.Shape()[0])
			w.InitLogStep = graph.NewParam(strings.TrimSuffix(s.step, logStepSuffix)+initSuffix, s.param.Shape()[0])
			w.InitLogStep.Frozen = true
		case SchemeInt4:
			w.Group, w.Compact = o.GroupSize, o.Metadata == MetadataCompact
			w.Salient = salient[s.param.Name]
			if s.target == Attention && o.Int4Mode == Int4Frozen {
				w.Param.Frozen = true
				if len(w.Salient) > 0 {
					w.Columns = graph.NewParam(strings.TrimSuffix(s.param.Name, ".weight")+salientSuffix, s.param.Shape()[0], len(w.Salient))
				}
			}
		}
		*s.hook = w.fakeQuant
		q.Weights = append(q.Weights, w)
	}
	for i, b := range m.Blocks {
		if o.Has(Attention) {
			f := graph.NewParam(fmt.Sprintf("blocks.%d.attn%s", i, smoothSuffix), m.Config.Dim)
			f.Frozen = true
			b.Attention.Smooth = f
			q.smooth = append(q.smooth, f)
		}
		if o.Has(Memory) {
			b.Memory.EntryQuant = graph.FakeQuantInt8
		}
	}
	return q
}

// scheme is that of the weights of a target.
func (o Options) scheme(t Target) Scheme {
	switch {
	case t == SSM && o.SSMQuantiser == Paper7:
		return Scheme7Level
	case t == SSM:
		return Scheme2Bit
	case t == Embeddings && o.EmbeddingBits == 8, t == Head && o.HeadBits == 8:
		return SchemeInt8
	}
	return SchemeInt4
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
func (w *Weight) initialise(o Options) {
	if w.LogStep != nil {
		init := graph.InitLogStep(w.Param.Data(), w.LogStep.Size())
		if o.StepInit == InitMSE {
			init = leastSquares(w.Param.Data(), init, w.Scheme)
		}
		copy(w.LogStep.Data(), init)
		copy(w.InitLogStep.Data(), init)
	}
	if w.Columns != nil {
		cols := w.cols()
		for row := range w.Param.Size() / cols {
			for k, j := range w.Salient {
				w.Columns.Data()[row*len(w.Salient)+k] = w.Param.Data()[row*cols+j]
			}
		}
		w.scatter(w.Param.Data(), func(int, int) float32 { return 0 })
	}
}

// StepParams are the learned log step sizes, which train at a rate of their own without weight decay.
func (q *Quantised) StepParams() []*graph.Param {
	var steps []*graph.Param
	for _, w := range q.Weights {
		if w.LogStep != nil {
			steps = append(steps, w.LogStep)
		}
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
		if w.Columns != nil {
			others = append(others, w.Columns)
		}
	}
	return others
}

// Params are the parameters that the quantisers added to the model's: log steps, their initial values, salient columns
// and smoothing factors.
func (q *Quantised) Params() []*graph.Param {
	var all []*graph.Param
	for _, w := range q.Weights {
		for _, p := range []*graph.Param{w.LogStep, w.InitLogStep, w.Columns} {
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
	if len(q.StepParams()) == 0 {
		return nil
	}
	return []layers.Term{func(g *graph.Graph, _ layers.Output) *graph.Node {
		var steps, inits []*graph.Node
		for _, w := range q.Weights {
			if w.LogStep != nil {
				steps, inits = append(steps, g.Param(w.LogStep)), append(inits, g.Param(w.InitLogStep))
			}
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
	s := StepStats{Least: math.Inf(1), Most: math.Inf(-1)}
	tensors := 0
	for _, w := range q.Weights {
		if w.LogStep == nil {
			continue
		}
		tensors++
		var square float64
		for i, l := range w.LogStep.Data() {
			d := float64(l) - float64(w.InitLogStep.Data()[i])
			square += d * d
			s.Least, s.Most = min(s.Least, math.Exp(d)), max(s.Most, math.Exp(d))
		}
		s.Drift += square / float64(w.LogStep.Size())
	}
	if tensors == 0 {
		return StepStats{Least: 1, Most: 1}
	}
	s.Drift /= float64(tensors)
	return s
}

// salientColumns lists the salient columns by weight.
func (q *Quantised) salientColumns() map[string][]int {
	columns := map[string][]int{}
	for _, w := range q.Weights {
		if len(w.Salient) > 0 {
			columns[w.Param.Name] = w.Salient
		}
	}
	return columns
}
