package suites

import (
	"context"
	"encoding/json"
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

// RULERExperiment evaluates on the RULER-style tasks.
func RULERExperiment() lab.Experiment {
	return proxyExperiment("ruler", "RULER", lab.Experiment{
		Title:  "RULER-style tasks: needles, variables, frequencies",
		Covers: []string{"Benchmarks: RULER-style (NIAH, variable tracking, frequency aggregation)"},
		Says: "Proxies of RULER on synthetic tokens for a classifier of millions of parameters: they say how well this " +
			"model finds, tracks and counts as the context grows, and nothing about RULER's own scores. The published figures " +
			"are of a model of 0.29 million parameters at 128 and 256 tokens.",
	})
}

// LongBenchExperiment evaluates on the LongBench-style tasks.
func LongBenchExperiment() lab.Experiment {
	return proxyExperiment("longbench", "LongBench", lab.Experiment{
		Title:  "LongBench-style tasks: six categories",
		Covers: []string{"Benchmarks: LongBench-style (6 task categories)"},
		Says: "Proxies of LongBench's six categories on synthetic tokens, without language: the model was trained on none " +
			"of them, so read each against guessing. The published figures, of three categories, are of a model of 0.29 " +
			"million parameters.",
	})
}

// proxyExperiment is a suite that exists in the published token layout, evaluated under paper, and in that of the
// training.
func proxyExperiment(suite, title string, e lab.Experiment) lab.Experiment {
	full := suiteSettings{
		Paper: suitePart{Variants: []string{qat.FP16, qat.CAJQPTQ}, Tasks: measure.SuiteTasks("paper/" + suite),
			Contexts: []int{128, 256}, Samples: 32, Seed: 7_000_041},
		Strict: suitePart{Variants: []string{qat.FP16, qat.CAJQPTQ}, Tasks: measure.SuiteTasks(suite),
			Contexts: []int{512, 1024, 2048, 4096}, Samples: 64, Seed: 7_000_042},
		Making: qat.DefaultExperiment(), Seed: 42,
	}
	quick := full
	quick.Paper.Samples = 16
	quick.Strict.Contexts, quick.Strict.Samples = []int{64, 128, 256}, 16
	quick.Making = measure.QuickMaking(full.Making)
	e.Name, e.Folder, e.Source = suite, "benchmarks", "Section 6, full_demo_results.json"
	e.Needs = []string{"pretrain"}
	e.Views = suiteViews(title + "-style")
	e.Estimate = lab.Durations{lab.Quick: 10 * time.Second, lab.Full: 8 * time.Minute}
	return lab.Define(e, full, quick, func(ctx context.Context, j *lab.Job, s suiteSettings) (*lab.Outcome, error) {
		return runSuite(ctx, j, s, tasks.Purpose(suite),
			"paper: the published token layout, which the model was not trained with, n 32, 4-level quantisers in floating "+
				"point. strict: the layout of the training, every sample answerable, quantised variants from their packed bytes. "+
				"Intervals are Wilson's", publishedProxies(suite))
	})
}

// publishedProxies gives what full_demo_results.json has of a cell. It is of a small model after its own QAT.
func publishedProxies(suite string) func(c suiteCell) (*result.MeanStd, string) {
	type byContext map[string]struct {
		Accuracy float64 `json:"accuracy"`
	}
	file := published.Must[struct {
		RULER     map[string]byContext       `json:"ruler"`
		LongBench map[string]json.RawMessage `json:"longbench"` // and one number, the mean of all
	}]("full_demo_results.json")
	all := file.RULER
	if suite == "longbench" {
		all = map[string]byContext{}
		for task, text := range file.LongBench {
			var of byContext
			if json.Unmarshal(text, &of) == nil {
				all[task] = of
			}
		}
	}
	return func(c suiteCell) (*result.MeanStd, string) {
		if c.protocol != result.Paper {
			return nil, ""
		}
		var notes []string
		if t, err := tasks.Lookup(c.task); err == nil && t.Unanswerable != "" {
			notes = append(notes, "cannot be answered: "+t.Unanswerable)
		}
		task := c.task[strings.LastIndexByte(c.task, '/')+1:]
		if v, ok := all[task][strconv.Itoa(c.context)]; ok && c.variant == qat.CAJQPTQ {
			notes = append(notes, "published: another model (D 64, 2 layers, 16 classes), after its own QAT")
			return &result.MeanStd{Mean: v.Accuracy}, strings.Join(notes, "; ")
		}
		return nil, strings.Join(notes, "; ")
	}
}
