package suites

import (
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
	"github.com/synapnet/synapnet-train/results/published"
)

// NeedleBenchExperiment evaluates on the NeedleBench-style tasks.
func NeedleBenchExperiment() lab.Experiment {
	part := suitePart{Tasks: measure.SuiteTasks("needlebench")}
	base := suiteSettings{Paper: part, Strict: part, Making: qat.DefaultExperiment()}
	return lab.Describe(descriptions, "needlebench", base, suiteRunner(tasks.NeedleBench, publishedNeedleBench()))
}

// publishedNeedleBench gives the published figure of a cell of the paper protocol.
func publishedNeedleBench() func(c suiteCell) (*result.MeanStd, string) {
	file := published.Must[struct {
		Results map[string]map[string]map[string]float64 `json:"results"` // by variant, task, context
	}]("exp_needlebench.json")
	return func(c suiteCell) (*result.MeanStd, string) {
		task := strings.TrimPrefix(c.task, "needlebench/")
		if v, ok := file.Results[c.variant][task][strconv.Itoa(c.context)]; ok && c.protocol == result.Paper {
			return &result.MeanStd{Mean: v}, ""
		}
		return nil, ""
	}
}
