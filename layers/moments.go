package layers

import (
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// What starts the names of AdamW's first and second moments in a checkpoint, before the name of the parameter.
const (
	firstMoment  = OptimiserPrefix + "m."
	secondMoment = OptimiserPrefix + "v."
)

// AddMoments adds the optimiser's moments of the parameters to a checkpoint, as optim.m.NAME and optim.v.NAME, and
// returns its update counts by parameter, which have no tensor. Moments that are not finite are an error.
func AddMoments(f *safetensors.File, a *graph.AdamW, params []*graph.Param) (updates map[string]int, err error) {
	updates = map[string]int{}
	for _, p := range params {
		s := a.State(p)
		updates[p.Name] = s.Step
		if err := addTensor(f, firstMoment, p, s.M); err != nil {
			return nil, err
		}
		if err := addTensor(f, secondMoment, p, s.V); err != nil {
			return nil, err
		}
	}
	return updates, nil
}

// SetMoments reads back what AddMoments added.
func SetMoments(f *safetensors.File, a *graph.AdamW, params []*graph.Param, updates map[string]int) error {
	for _, p := range params {
		m, err := TensorFor(f, firstMoment, p)
		if err != nil {
			return err
		}
		v, err := TensorFor(f, secondMoment, p)
		if err != nil {
			return err
		}
		s := a.State(p)
		copy(s.M, m)
		copy(s.V, v)
		s.Step = updates[p.Name]
	}
	return nil
}
