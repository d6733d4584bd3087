package suites

import (
	"context"
	"strconv"
	"time"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
	"github.com/synapnet/synapnet-train/results/published"
)

// LongContextExperiment evaluates at contexts up to the longest that the model takes.
func LongContextExperiment() lab.Experiment {
	metrics := measure.Metrics()
	full := suiteSettings{
		Paper: suitePart{Variants: []string{qat.FP16, "int8_uniform", "int4_uniform", qat.CAJQPTQ}, Tasks: metrics,
			Contexts: []int{512, 1024, 2048, 4096}, Samples: 64, Seed: 1234},
		Strict: suitePart{Variants: []string{qat.CAJQPTQ}, Tasks: metrics, Contexts: []int{512, 1024, 2048, 4096},
			Samples: 64, Seed: 1234},
		Making: qat.DefaultExperiment(),
	}
	quick := full
	quick.Paper.Contexts, quick.Paper.Samples = []int{64, 128, 256}, 16
	quick.Strict.Contexts, quick.Strict.Samples = quick.Paper.Contexts, quick.Paper.Samples
	quick.Making = measure.QuickMaking(full.Making)
	return lab.Define(lab.Experiment{
		Name: "long-context", Folder: "cajq", Title: "CAJQ without training at long contexts",
		Source:   "Section 3, exp_cajq_long_context.json",
		Covers:   []string{"Ablations: quantization strategy"},
		Needs:    []string{"pretrain"},
		Estimate: lab.Durations{lab.Quick: 10 * time.Second, lab.Full: 12 * time.Minute},
		Views:    suiteViews("Accuracy by context"),
		Says: "One set of samples, so its intervals are those of 64 or 127 samples and variants are compared on the same " +
			"ones. The published cajq has 7 levels in the SSM, ours 4; strict evaluates it from the packed bytes, on the same " +
			"samples, so that a difference to paper is one of rounding alone. " + measure.BeyondTraining,
	}, full, quick, func(ctx context.Context, j *lab.Job, s suiteSettings) (*lab.Outcome, error) {
		return runSuite(ctx, j, s, tasks.LongContext,
			"paper: n 64, one evaluation seed, calibration on 8 batches, 4-level SSM quantiser in floating point. strict: the "+
				"same from the packed bytes. Intervals are Wilson's", publishedLongContext())
	})
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
