package hardware

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// leave writes a result as an experiment leaves it.
func leave(t *testing.T, root, experiment string, measurements ...result.Measurement) {
	t.Helper()
	r := &result.Result{
		Schema: result.Schema, Experiment: experiment, Profile: "quick", Complete: true, Key: strings.Repeat("0", 64),
		Version: 1, Config: []byte("{}"),
		Seeds: []uint64{42}, Protocol: "made up", Environment: result.Environment{Commit: "none"}, Measurements: measurements,
	}
	if err := result.Write(filepath.Join(root, experiment, experiment+".json"), r); err != nil {
		t.Fatal(err)
	}
}

// paretoRoot has three variants at one context: fp16 answers best, cajq costs least, and int8 is worse than fp16 in
// all.
func paretoRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	var costs []result.Measurement
	for variant, c := range map[string][2]float64{variantFP16: {10, 200}, variantInt8: {11, 210}, variantCAJQ: {12, 50}} {
		size := result.Labels{result.ModelLabel: "8.7M", result.VariantLabel: variant}
		at := result.Labels{result.ModelLabel: "8.7M", result.VariantLabel: variant, tierLabel: tierMulti,
			result.ContextLabel: "64"}
		costs = append(costs, result.ExactOf(at, result.Strict, "latency", "ms", c[0]),
			result.ExactOf(at, result.Strict, "tokens_per_second", "tokens/s", 64e3/c[0]),
			result.ExactOf(result.With(at, tierLabel, tierSingle), result.Strict, "latency", "ms", 99),
			result.ExactOf(result.With(at, result.ModelLabel, "9M random"), result.Strict, "latency", "ms", 99),
			result.ExactOf(size, result.Strict, "storage_bytes", "bytes", c[1]),
			result.ExactOf(size, result.Paper, "storage_bytes", "bytes", 1),
			result.ExactOf(size, result.Strict, "weight_bytes", "bytes", 2*c[1]),
			result.ExactOf(size, result.Strict, "effective_bits", "bits", c[1]/10))
	}
	leave(t, root, deploymentName, costs...)
	accuracy := func(variant, context, protocol string, value float64) result.Measurement {
		m := result.ExactOf(result.Labels{result.VariantLabel: variant, result.ContextLabel: context}, protocol,
			measure.MetricMixture, "1", value)
		m.N, m.Interval, m.Published = 48, &result.Interval{Low: value - 0.1, High: value + 0.1, Method: "wilson"},
			&result.MeanStd{Mean: 0.9}
		return m
	}
	single := accuracy("fp16", "64", result.Paper, 0.7)
	single.Metric = measure.MetricSingle
	leave(t, root, "cajq-qat", accuracy("fp16", "64", result.Paper, 0.6),
		accuracy("int8_uniform", "64", result.Paper, 0.5), accuracy("cajq_ptq", "64", result.Strict, 0.4),
		accuracy("cajq_ptq", "64", result.Paper, 0.3), accuracy("fp16", "128", result.Paper, 0.6), single,
		accuracy(result.Guessing, "64", result.Paper, 0.1))
	leave(t, root, "cajq-ablation", accuracy("cajq_ssm_only", "64", result.Strict, 0.6))
	rival := func(form, task string, n int, value float64) result.Measurement {
		m := result.ExactOf(result.Labels{result.ModelLabel: "llama", result.VariantLabel: form, result.TaskLabel: task,
			result.ContextLabel: "256"}, result.Paper, "accuracy", "1", value)
		m.N = n
		return m
	}
	at := result.Labels{result.ModelLabel: "llama", result.ContextLabel: "256"}
	leave(t, root, "baselines", rival(result.Trained, "a", 10, 0.5), rival(result.Trained, "b", 30, 0.1),
		rival("int4", "a", 10, 1),
		result.ExactOf(at, result.Paper, "tokens_per_second", "tokens/s", 1000),
		result.ExactOf(at, result.Paper, "memory", "bytes", 5000),
		result.ExactOf(result.With(at, result.ModelLabel, "em_llm"), result.Paper, "memory", "bytes", 5000))
	return root
}

func TestPareto(t *testing.T) {
	e := ParetoExperiment()
	j := labtest.NewJob(t, e, paretoRoot(t))
	j.Settings = e.Settings(lab.Quick)
	o, err := e.Run(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	for variant, want := range map[string][4]float64{"fp16": {0.6, 10, 200, 1}, "int8_uniform": {0.5, 11, 210, 0},
		"cajq_ptq": {0.4, 12, 50, 1}} {
		l := result.Labels{result.VariantLabel: variant, result.ContextLabel: "64"}
		for i, metric := range []string{measure.MetricMixture, "latency", "storage_bytes", efficientMetric} {
			if m := labtest.Find(t, o, result.Strict, metric, l); m.Mean != want[i] || m.Published != nil ||
				(m.Interval != nil) != (i == 0) {
				t.Errorf("%s %s: %+v, want %g", variant, metric, m, want[i])
			}
		}
	}
	// The rival's share is of all its samples.
	l := result.Labels{result.ModelLabel: "llama", result.ContextLabel: "256"}
	if m := labtest.Find(t, o, result.Paper, rivalAccuracy, l); m.N != 40 || m.Mean != 0.2 {
		t.Errorf("%+v", m)
	}
	if m := labtest.Find(t, o, result.Paper, rivalRate, l); m.Mean != 1000 {
		t.Errorf("%+v", m)
	}
	labtest.CheckOutcome(t, e, o)
	if len(o.Measurements) != 3*(1+len(costMetrics())+1)+1+3 {
		t.Errorf("%d measurements", len(o.Measurements))
	}
	// What could not be placed is named.
	if !strings.HasSuffix(o.Notes[1], "left out: cajq_ssm_only at 64, fp16 at 128") {
		t.Errorf("%q", o.Notes)
	}
}

func TestParetoMistakes(t *testing.T) {
	e := ParetoExperiment()
	root := paretoRoot(t)
	run := func(s paretoSettings) error {
		j := labtest.NewJob(t, e, root)
		j.Settings = s
		_, err := e.Run(t.Context(), j)
		return err
	}
	s := e.Settings(lab.Full).(paretoSettings)
	s.Tier = tierApple
	if err := run(s); err == nil || !strings.Contains(err.Error(), "no variant and context in common") {
		t.Errorf("%v", err)
	}
	s.Accuracy = []string{"needlebench"}
	if err := run(s); err == nil || !strings.Contains(err.Error(), "accuracies are not known") ||
		!strings.Contains(err.Error(), "needlebench.json") {
		t.Errorf("%v", err)
	}
}
