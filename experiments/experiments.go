// Package experiments lists the project's experiments. What an experiment is, how it is planned and run, and where its
// result is kept is told in package lab; each subject has a package of its own, with a file for each experiment.
package experiments

import (
	"context"
	"io"
	"maps"
	"slices"

	"github.com/synapnet/synapnet-train/experiments/baselines"
	"github.com/synapnet/synapnet-train/experiments/bench"
	"github.com/synapnet/synapnet-train/experiments/bridge"
	"github.com/synapnet/synapnet-train/experiments/cajq"
	"github.com/synapnet/synapnet-train/experiments/eviction"
	"github.com/synapnet/synapnet-train/experiments/hardware"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/pretrain"
	"github.com/synapnet/synapnet-train/experiments/recipe"
	"github.com/synapnet/synapnet-train/experiments/suites"
)

// All lists the experiments in the order of the report.
func All() []lab.Experiment {
	return []lab.Experiment{
		pretrain.Experiment(),
		pretrain.HeldOutExperiment(),
		pretrain.PositionsExperiment(),
		recipe.Experiment(),
		cajq.QATExperiment(),
		cajq.AblationExperiment(),
		eviction.TrainExperiment(),
		eviction.GridExperiment(),
		eviction.MicrobenchExperiment(),
		eviction.MemoryPressureExperiment(),
		eviction.AnswersExperiment(),
		suites.NeedleBenchExperiment(),
		suites.RULERExperiment(),
		suites.LongBenchExperiment(),
		suites.LongContextExperiment(),
		bridge.RemovalExperiment(),
		bridge.ScratchExperiment(),
		hardware.ActivationMemoryExperiment(),
		hardware.EnergyExperiment(),
		hardware.SustainedExperiment(),
		hardware.EpisodicGrowthExperiment(),
		hardware.DeploymentExperiment(),
		hardware.ParetoExperiment(),
		hardware.PyTorchExperiment(),
		baselines.Experiment(),
	}
}

// Of lists those that are part of a profile.
func Of(p lab.Profile) []lab.Experiment {
	return slices.DeleteFunc(All(), func(e lab.Experiment) bool { return !e.In(p) })
}

// RunProbe is the other side of a measurement in a process of its own, of any experiment or benchmark: see
// measure.Serve.
func RunProbe(ctx context.Context, r io.Reader, w io.Writer) error {
	kinds := measure.PassKinds()
	maps.Copy(kinds, bench.Kinds())
	return measure.Serve(ctx, kinds, r, w)
}
