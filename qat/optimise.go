package qat

import (
	"gorgonia.org/gorgonia"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// Step tells of one optimiser step.
type Step struct {
	Step  int     `json:"step"`            // from 1
	Phase string  `json:"phase,omitempty"` // of ThreePhase
	Epoch int     `json:"epoch"`           // from 0
	Loss  float64 `json:"loss"`            // cross-entropy of the batch, nats
	Terms float64 `json:"terms"`           // weighted sum of the further terms
	Drift float64 `json:"drift"`           // of the step sizes, before the step, without its weight
	// Auxiliary is the auxiliary loss of ThreePhase without its weight; 0 where there is none.
	Auxiliary float64 `json:"auxiliary,omitempty"`
	LR        float64 `json:"lr"`
	StepLR    float64 `json:"step_lr"`
	GradNorm  float64 `json:"grad_norm"` // before clipping
}

// newOptimiser is that of a model, or of a quantised one if q is not nil, and of auxiliary parameters: a group of
// weights, a group of log step sizes, which have no weight decay, and one for the parameters of an auxiliary loss. A
// frozen weight is in none. The rates, names and the decay are those of the given groups.
func newOptimiser(m *layers.Model, q *Quantised, r train.Recipe, weights, steps train.Group,
	auxiliary ...*graph.Param) *train.Optimiser {
	weights.Params = m.Params.All()
	if q != nil {
		weights.Params, steps.Params = q.OtherParams(), q.StepParams()
	}
	others := train.Group{Rate: weights.Rate, WeightDecay: weights.WeightDecay, Params: auxiliary}
	return train.NewOptimiser(r, weights, steps, others)
}

// pass is a training graph, through quantisers if q is not nil, with what the step under way has told so far.
type pass struct {
	graph    *layers.Trainer
	q        *Quantised
	backward func([]tasks.Sample) (float64, []gorgonia.ValueGrad, error)
	step     Step
}

func newPass(m *layers.Model, q *Quantised, spec layers.TrainSpec, terms ...layers.Term) (*pass, error) {
	g, err := m.TrainOn(spec, terms...)
	if err != nil {
		return nil, err
	}
	return &pass{graph: g, q: q, backward: curriculum.Backward(g, spec)}, nil
}

// Backward computes the loss with its terms and the gradients.
func (p *pass) Backward(samples []tasks.Sample) (total float64, gradients []gorgonia.ValueGrad, err error) {
	p.step = Step{}
	if p.q != nil {
		p.step.Drift = p.q.Steps().Drift
	}
	if p.step.Loss, gradients, err = p.backward(samples); err != nil {
		return 0, nil, err
	}
	for _, t := range p.graph.Terms() {
		p.step.Terms += float64(t)
	}
	return p.step.Loss + p.step.Terms, gradients, nil
}

// record is what is known of the step of which u is the update.
func (p *pass) record(u train.Update) Step {
	s := p.step
	s.Step, s.LR, s.StepLR, s.GradNorm = u.Step, u.Rates[0], u.Rates[1], u.GradNorm
	return s
}

// close frees the graph.
func (p *pass) close() { p.graph.Program.Close() }
