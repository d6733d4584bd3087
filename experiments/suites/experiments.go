package suites

import (
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/qat"
)

// RULERExperiment evaluates on the RULER-style tasks.
func RULERExperiment() lab.Experiment { return proxyExperiment(tasks.RULER) }

// LongBenchExperiment evaluates on the LongBench-style tasks.
func LongBenchExperiment() lab.Experiment { return proxyExperiment(tasks.LongBench) }

// proxyExperiment is a suite that exists in the published token layout, evaluated under paper, and in that of the
// training.
func proxyExperiment(suite tasks.Purpose) lab.Experiment {
	return suiteExperiment(suite, measure.SuiteTasks("paper/"+string(suite)), measure.SuiteTasks(string(suite)))
}

// NeedleBenchExperiment evaluates on the NeedleBench-style tasks.
func NeedleBenchExperiment() lab.Experiment {
	return suiteExperiment(tasks.NeedleBench, measure.SuiteTasks("needlebench"), measure.SuiteTasks("needlebench"))
}

// LongContextExperiment evaluates at contexts up to the longest that the model takes.
func LongContextExperiment() lab.Experiment {
	return suiteExperiment(tasks.LongContext, measure.Metrics(), measure.Metrics())
}

// suiteExperiment evaluates on the tasks of each protocol. It has the name of its samples' purpose.
func suiteExperiment(purpose tasks.Purpose, paper, strict []string) lab.Experiment {
	base := suiteSettings{Making: qat.DefaultExperiment()}
	base.Paper.Tasks, base.Strict.Tasks = paper, strict
	return lab.Describe(descriptions, string(purpose), base, suiteRunner(purpose))
}
