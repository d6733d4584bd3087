package suites

import (
	"strconv"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
	"github.com/synapnet/synapnet-train/results/published"
)

// LongContextExperiment evaluates at contexts up to the longest that the model takes.
func LongContextExperiment() lab.Experiment {
	part := suitePart{Tasks: measure.Metrics()}
	base := suiteSettings{Paper: part, Strict: part, Making: qat.DefaultExperiment()}
	return lab.Describe(descriptions, "long-context", base, suiteRunner(tasks.LongContext, publishedLongContext()))
}

// publishedLongContext gives the published figure of a cell of the paper protocol.
func publishedLongContext() func(c suiteCell) (*result.MeanStd, string) {
	file := published.Must[struct {
		Variants map[string]struct {
			Contexts map[string]map[string]any `json:"per_ctx"`
		} `json:"variants"`
	}]("exp_cajq_long_context.json")
	return func(c suiteCell) (*result.MeanStd, string) {
		name, note := c.variant, ""
		if name == qat.CAJQPTQ {
			name, note = "cajq", "published: 7 levels in the SSM"
		}
		if v, ok := file.Variants[name].Contexts[strconv.Itoa(c.context)][c.task+"_acc"].(float64); ok &&
			c.protocol == result.Paper {
			return &result.MeanStd{Mean: v}, note
		}
		return nil, ""
	}
}
