package experiments

import (
	"context"
	"fmt"
	"io"
	"maps"
)

// All lists the experiments in the order of the report.
func All() []Experiment {
	return []Experiment{
		pretrainExperiment(),
		cajqExperiment(),
		cajqAblationExperiment(),
		baeeTrainExperiment(),
		baeeGridExperiment(),
		baeeMicrobenchExperiment(),
		memoryPressureExperiment(),
		needlebenchExperiment(),
		rulerExperiment(),
		longbenchExperiment(),
		longContextExperiment(),
		scaleBridgeRemovalExperiment(),
		scaleBridgeScratchExperiment(),
		activationMemoryExperiment(),
		energyExperiment(),
		sustainedExperiment(),
		episodicGrowthExperiment(),
		deploymentExperiment(),
		paretoExperiment(),
		baselinesExperiment(),
	}
}

// Find is the registered experiment of a name.
func Find(name string) (Experiment, error) {
	for _, e := range All() {
		if e.Name == name {
			return e, nil
		}
	}
	return Experiment{}, fmt.Errorf("there is no experiment %s", name)
}

// RunProbe is the other side of a measurement in a process of its own, of any experiment or benchmark: see measure.Serve.
func RunProbe(ctx context.Context, r io.Reader, w io.Writer) error {
	kinds := PassKinds()
	maps.Copy(kinds, BenchKinds())
	return Serve(ctx, kinds, r, w)
}
