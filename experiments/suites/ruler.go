package suites

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
	"github.com/synapnet/synapnet-train/results/published"
)

// RULERExperiment evaluates on the RULER-style tasks.
func RULERExperiment() lab.Experiment { return proxyExperiment("ruler") }

// LongBenchExperiment evaluates on the LongBench-style tasks.
func LongBenchExperiment() lab.Experiment { return proxyExperiment("longbench") }

// proxyExperiment is a suite that exists in the published token layout, evaluated under paper, and in that of the
// training.
func proxyExperiment(suite string) lab.Experiment {
	base := suiteSettings{
		Paper:  suitePart{Tasks: measure.SuiteTasks("paper/" + suite)},
		Strict: suitePart{Tasks: measure.SuiteTasks(suite)},
		Making: qat.DefaultExperiment(),
	}
	return lab.Describe(descriptions, suite, base, suiteRunner(tasks.Purpose(suite), publishedProxies(suite)))
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
