package suites

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
	"github.com/synapnet/synapnet-train/results/published"
)

// NeedleBenchExperiment evaluates on the NeedleBench-style tasks.
func NeedleBenchExperiment() lab.Experiment {
	all := measure.SuiteTasks("needlebench")
	making := qat.DefaultExperiment()
	making.CalibrationBatches = 4
	making.Finetune.Beta2, making.Finetune.Lambda, making.Finetune.ConstantLR = 0.999, 0, true
	full := suiteSettings{
		Paper: suitePart{Variants: []string{qat.FP16, qat.CAJQQAT}, Tasks: all, Contexts: []int{512, 1024, 2048},
			Samples: 32, Seed: 2025},
		Strict: suitePart{Variants: []string{qat.FP16, qat.CAJQPTQ, qat.CAJQQAT, qat.FP16Finetuned}, Tasks: all,
			Contexts: []int{512, 1024, 2048}, Samples: 96, Seed: 7_002_025},
		Making: making,
	}
	quick := full
	quick.Paper.Contexts, quick.Paper.Samples = []int{64, 128}, 16
	quick.Strict.Contexts, quick.Strict.Samples = []int{64, 128}, 32
	quick.Making = measure.QuickMaking(making)
	return lab.Define(lab.Experiment{
		Name: "needlebench", Folder: "benchmarks",
		Title:    "NeedleBench-style tasks: one needle, keys, reasoning, counting, distractors",
		Source:   "Section 6, exp_needlebench.json",
		Covers:   []string{"Benchmarks: NeedleBench-style (SNIA / MKN / RoN / CN / ADN)"},
		Needs:    []string{"pretrain"},
		Estimate: lab.Durations{lab.Quick: 20 * time.Second, lab.Full: 20 * time.Minute},
		Views:    suiteViews("NeedleBench"),
		Says: "The model was trained on none of these tasks: snia resembles its training, the others ask for more than it " +
			"was taught, so read each against guessing. With 32 samples most published differences between variants lie " +
			"within each other's intervals; fp16_finetuned has the same 200 steps as cajq_qat without quantisers, so only a " +
			"difference to it is one of quantisation.",
	}, full, quick, func(ctx context.Context, j *lab.Job, s suiteSettings) (*lab.Outcome, error) {
		return runSuite(ctx, j, s, tasks.NeedleBench,
			"paper: n 32, calibration and training data of one seed of our own generator, 200 QAT steps at constant rates "+
				"without drift penalty, 4-level quantisers in floating point. strict: more samples of another seed, the control, "+
				"quantised variants evaluated from their packed bytes. Intervals are Wilson's", publishedNeedleBench())
	})
}

// suiteViews are those of all suites.
func suiteViews(name string) []lab.View {
	return []lab.View{
		{Title: name + ": accuracy", Metric: "accuracy", Rows: []string{result.TaskLabel, result.VariantLabel},
			Column: result.ContextLabel,
			Figure: &lab.Figure{Kind: "line", X: result.ContextLabel, Series: result.VariantLabel, LogX: true}},
		{Title: name + ": difference to " + qat.FP16 + " on the same samples", Metric: "difference",
			Rows: []string{result.TaskLabel, result.VariantLabel, result.AgainstLabel}, Column: result.ContextLabel},
	}
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
