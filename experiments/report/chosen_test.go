package report

import (
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// What was chosen stands with the score that it was chosen by, the best where several were looked at, and with that on
// fresh data; what is not measured on fresh data is left out.
func TestChosen(t *testing.T) {
	share := func(metric, protocol string, mean float64, l result.Labels) result.Measurement {
		m := result.ExactOf(l, protocol, metric, "1", mean)
		m.N = 40
		return m
	}
	step := func(name string, all ...result.Measurement) *lab.Step {
		return &lab.Step{Experiment: lab.Experiment{Name: name}, Result: &result.Result{Measurements: all}}
	}
	steps := []*lab.Step{
		step("pretrain",
			share("accuracy", "paper", 0.97, result.Labels{"task": "overall", "seed": "42"}),
			share("accuracy", "paper", 0.96, result.Labels{"task": "overall"}),
			share("accuracy", "paper", 0.1, result.Labels{"task": "fa", "seed": "42"})),
		step("held-out",
			share("accuracy", "strict", 0.95, result.Labels{"task": "overall", "context": "1024", "model": "seed 42"}),
			share("accuracy", "strict", 0.94, result.Labels{"task": "overall", "context": "1024", "model": "seed 44"}),
			share("accuracy", "strict", 0.2, result.Labels{"task": "overall", "context": "8192", "model": "seed 42"})),
		step("baselines",
			share("validation_accuracy", "strict", 0.5, result.Labels{"model": "llama", "learning rate": "0.001"}),
			share("validation_accuracy", "strict", 0.7, result.Labels{"model": "llama", "learning rate": "0.003"}),
			share("validation_accuracy", "strict", 0.9, result.Labels{"model": "synapnet", "learning rate": "0.001"}),
			share("accuracy", "strict", 0.65, result.Labels{"model": "llama", "variant": "float32", "task": "overall",
				"context": "128"})),
		step("answers"),
		{Experiment: lab.Experiment{Name: "baee-train"}}, // no result
	}
	var b strings.Builder
	for _, c := range allChosen(steps, func(name string) string { return "strong-" + name }) {
		b.WriteString(strings.Join([]string{c.What, c.Metric, c.Looked, c.Fresh, c.Section}, "; ") + "\n")
	}
	want := `recipe strong, seed 42, at 1,024 tokens; accuracy; 0.970; 0.950; strong-held-out
recipe strong, seed 44, at 1,024 tokens; accuracy; ; 0.940; strong-held-out
learning rate of an architecture, at 128 tokens: model llama; accuracy; 0.700; 0.650; strong-baselines
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// Every choice is scored by measurements that its experiments make on the strong model.
func TestChoicesAreOfExperiments(t *testing.T) {
	all := experiments.All()
	for _, c := range choices {
		for _, s := range []selection{c.Looked, c.Fresh} {
			i := slices.IndexFunc(all, func(e lab.Experiment) bool { return e.Name == s.Experiment })
			if i < 0 || !slices.Contains(all[i].Profiles, lab.Strong) {
				t.Errorf("%s: no experiment %q has the profile strong", c.What, s.Experiment)
				continue
			}
			if !slices.ContainsFunc(all[i].Views, func(v lab.View) bool { return v.Metric == s.Metric }) {
				t.Errorf("%s: no view of %s shows the metric %q", c.What, s.Experiment, s.Metric)
			}
			if s.Protocol != result.Paper && s.Protocol != result.Strict || len(s.Labels)+len(c.By) == 0 {
				t.Errorf("%s: %+v", c.What, s)
			}
		}
	}
}
