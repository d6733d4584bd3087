package layers

import (
	"slices"

	"github.com/synapnet/synapnet-train/graph"
)

// Untrained lists the model's parameters, frozen ones aside, that training at none of the given numbers of tokens would
// change, since no gradient of the loss reaches them: the salience MLP of sparse attention where every length is beyond
// the sparse threshold, or what a new layer forgot to use. It takes no memory to speak of.
func (m *Model) Untrained(tokens ...int) ([]*graph.Param, error) {
	left := slices.DeleteFunc(slices.Clone(m.Params.All()), func(p *graph.Param) bool { return p.Frozen })
	for _, n := range tokens {
		_, g, err := m.trainGraph(graph.Outline, TrainSpec{Batch: 1, Tokens: n})
		if err != nil {
			return nil, err
		}
		left = slices.DeleteFunc(left, g.Trains)
	}
	return left, nil
}
