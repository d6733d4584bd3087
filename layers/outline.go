package layers

import (
	"fmt"
	"strings"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// Outline is the model of a configuration without memory: its parameters are names and shapes, and PlanTrain, PlanInfer
// and PlanReader tell what it would take. It cannot run.
func Outline(c Config) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return outline(c, nil), nil
}

func outline(c Config, packed map[string]*scheme.Packed) *Model {
	ps := NewParams(0)
	ps.outline, ps.packed = true, packed
	return assemble(c, ps)
}

// WeightBytes is the memory that the weights of a model of this configuration take in float32.
func (c Config) WeightBytes() uint64 { return host.Times(4, c.Parameters()) }

// PlanReader is the memory that Reader would plan for T tokens and the given rows of external memory of each block, its
// inputs included.
func (m *Model) PlanReader(tokens int, capacity []int, window int, projections bool) (graph.MemoryPlan, error) {
	_, g, err := m.readerGraph(graph.Outline, tokens, capacity, window, projections)
	if err != nil {
		return graph.MemoryPlan{}, err
	}
	plan, err := g.Plan()
	for _, rows := range capacity {
		plan.Arena += 4 * rows * m.Config.Dim
	}
	return plan, err
}

// checkTensors holds the tensors of a file against the parameters that a configuration calls for, by name and shape,
// before memory is taken for them: a header of a few bytes can ask for gigabytes.
func checkTensors(c Config, f *safetensors.File, packed map[string]*scheme.Packed) error {
	known := map[string]bool{}
	// A model has at least a dozen tensors a block: a file with fewer is refused without listing what the model has.
	if len(f.Tensors) < c.Depth {
		return fmt.Errorf("%d tensors are too few for the model of the header, of depth %d: the file is not complete or "+
			"was put together wrongly", len(f.Tensors), c.Depth)
	}
	for _, p := range outline(c, packed).Params.All() {
		if _, err := FindTensor(f, "", p); err != nil {
			return err
		}
		known[p.Name] = true
	}
	if packed != nil {
		return nil // what else may be there is known when the model is
	}
	for _, name := range f.Names() {
		if !known[name] && !strings.HasPrefix(name, OptimiserPrefix) {
			return fmt.Errorf("tensor %s is not of the model that the header describes (depth %d, ScaleBridge %v): the file "+
				"is not complete or was put together wrongly", name, c.Depth, c.UseScaleBridge)
		}
	}
	return nil
}
