package qat

import (
	"fmt"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
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

// recipe are AdamW's settings.
type recipe struct{ beta1, beta2, weightDecay, clip float64 }

// optimiser is AdamW with one group for the weights, one for the step sizes, which have no weight decay: it would pull
// log s towards 0, and one for the parameters of an auxiliary loss. A frozen weight is in none.
type optimiser struct {
	solver                    *graph.AdamW
	weights, steps, auxiliary *graph.Group
}

// newOptimiser is that of a model, or of a quantised one if q is not nil, and of auxiliary parameters.
func newOptimiser(m *layers.Model, q *Quantised, r recipe, auxiliary ...*graph.Param) *optimiser {
	o := &optimiser{
		weights: &graph.Group{WeightDecay: r.weightDecay, Params: m.Params.All()}, steps: &graph.Group{},
		auxiliary: &graph.Group{WeightDecay: r.weightDecay, Params: auxiliary},
	}
	if q != nil {
		o.weights.Params, o.steps.Params = q.OtherParams(), q.StepParams()
	}
	o.solver = graph.NewAdamW(r.beta1, r.beta2, r.clip, o.weights, o.steps, o.auxiliary)
	return o
}

// step makes one update from a batch.
func (o *optimiser) step(program *layers.Trainer, q *Quantised, ids, labels []int32, lr, stepLR float64) (Step, error) {
	s := Step{LR: lr, StepLR: stepLR}
	if q != nil {
		s.Drift = q.Steps().Drift
	}
	loss, err := program.Run(ids, labels)
	if err != nil {
		return s, err
	}
	s.Loss = float64(loss)
	for _, t := range program.Terms() {
		s.Terms += float64(t)
	}
	if total := s.Loss + s.Terms; math.IsNaN(total) || math.IsInf(total, 0) {
		return s, fmt.Errorf("the loss is %v: %w", total, curriculum.ErrDiverged)
	}
	o.weights.LR, o.steps.LR, o.auxiliary.LR = lr, stepLR, lr
	err = o.solver.Step(program.Program.Gradients())
	s.GradNorm = o.solver.Norm()
	if math.IsNaN(s.GradNorm) || math.IsInf(s.GradNorm, 0) {
		err = fmt.Errorf("%w: %w", err, curriculum.ErrDiverged)
	}
	return s, err
}

// params are all that the optimiser may update.
func (o *optimiser) params() []*graph.Param {
	return slices.Concat(o.weights.Params, o.steps.Params, o.auxiliary.Params)
}

// cosine is lr's cosine from its full value at 0 to 0 at total.
func cosine(lr float64, at, total int) float64 {
	return lr * 0.5 * (1 + math.Cos(math.Pi*float64(at)/float64(total)))
}

// dataset is a set of training samples, taken batch by batch in a new order each epoch.
type dataset struct {
	samples []tasks.Sample
	batch   int
	source  tasks.Source // of the samples and their order
}

// stepsPerEpoch counts the batches of an epoch, the last of which may be smaller.
func (d dataset) stepsPerEpoch() int { return (len(d.samples) + d.batch - 1) / d.batch }

// at is the batch of a step, from 0: ids [B, T] and labels. Rows that a small batch lacks repeat its first one and do not
// count.
func (d dataset) at(step int) (ids, labels []int32) {
	epoch, i := step/d.stepsPerEpoch(), step%d.stepsPerEpoch()
	order := d.source.Order(len(d.samples), epoch)
	rows := order[i*d.batch : min((i+1)*d.batch, len(order))]
	for row := range d.batch {
		s, label := d.samples[rows[0]], int32(graph.Ignore)
		if row < len(rows) {
			s = d.samples[rows[row]]
			label = s.Label
		}
		ids, labels = append(ids, s.IDs...), append(labels, label)
	}
	return ids, labels
}
