package hardware

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/results/published"
)

// paretoSettings say what is held against what.
type paretoSettings struct {
	Accuracy []string          `json:"accuracy"` // experiments whose accuracies are taken
	Tasks    []string          `json:"tasks"`    // metrics of theirs
	Tier     string            `json:"tier"`     // of the deployment profile
	Deployed map[string]string `json:"deployed"` // variant of the accuracies: the form in which it is deployed
	Rivals   string            `json:"rivals"`   // experiment with other architectures
}

// ParetoExperiment sets accuracies against costs, from the results of other experiments.
func ParetoExperiment() lab.Experiment {
	return lab.Describe(descriptions, "pareto", paretoSettings{}, runPareto)
}

// efficientMetric is 1 for a variant on the front, 0 for another.
const efficientMetric = "efficient"

// paretoPoint is a variant at a context.
type paretoPoint struct {
	variant string
	context string
	metrics map[string]result.Measurement // accuracies by task, and what they are held against
}

// costMetrics are what accuracy is held against.
func costMetrics() []string {
	return []string{"latency", "tokens_per_second", "storage_bytes", "weight_bytes", "effective_bits"}
}

// runPareto puts results of others together; it measures nothing.
func runPareto(_ context.Context, j *lab.Job, s paretoSettings) (*lab.Outcome, error) {
	deployed, err := result.Read(j.File(deploymentName, deploymentName+".json"))
	if err != nil {
		return nil, fmt.Errorf("what variants cost is not known: %w", err)
	}
	costs := s.costs(deployed)
	o := &lab.Outcome{}
	points, missing := map[string]*paretoPoint{}, map[string]bool{}
	for _, name := range s.Accuracy {
		r, err := result.Read(j.File(name, name+".json"))
		if err != nil {
			return nil, fmt.Errorf("accuracies are not known: %w", err)
		}
		for _, seed := range r.Seeds {
			o.Seeds = lab.AppendNew(o.Seeds, seed)
		}
		for _, m := range r.Measurements {
			if slices.Contains(s.Tasks, m.Metric) && m.Labels[result.VariantLabel] != "" &&
				m.Labels[result.ContextLabel] != "" && m.Labels[result.VariantLabel] != result.Guessing {
				s.place(points, missing, m, costs)
			}
		}
	}
	if len(points) == 0 {
		return nil, fmt.Errorf("%s and %s have no variant and context in common: run both with settings that do",
			strings.Join(s.Accuracy, ", "), deploymentName)
	}
	rivals, err := result.Read(j.File(s.Rivals, s.Rivals+".json"))
	if err != nil {
		return nil, fmt.Errorf("other architectures are not known: %w", err)
	}
	o.Notes = []string{"The tier is " + s.Tier,
		"Accuracies that no deployment belongs to, left out: " + none(slices.Sorted(maps.Keys(missing))),
		fmt.Sprintf("Variants were timed on %s; architectures on %s", lab.MachineOf(deployed.Environment),
			lab.MachineOf(rivals.Environment))}
	o.Measurements = append(outline(points), rivalPoints(rivals)...)
	paper := published.Get("pareto_points.json",
		"#.{model_name,accuracy,latency_tok_s,memory_mb,context_len,effective_bits}")
	o.Details = map[string]any{"published": json.RawMessage(paper.Raw)}
	return o, nil
}

// costs are the deployment's measurements of the pretrained model by variant, context and metric. What does not depend
// on the context is under context "".
func (s paretoSettings) costs(r *result.Result) map[[3]string]result.Measurement {
	all := map[[3]string]result.Measurement{}
	for _, m := range r.Measurements {
		tier, tiered := m.Labels[tierLabel]
		if m.Protocol == result.Strict && !strings.HasSuffix(m.Labels[result.ModelLabel], randomSuffix) &&
			(!tiered || tier == s.Tier) && slices.Contains(costMetrics(), m.Metric) {
			all[[3]string{m.Labels[result.VariantLabel], m.Labels[result.ContextLabel], m.Metric}] = m
		}
	}
	return all
}

// place adds an accuracy to its point. Of two protocols the strict one counts.
func (s paretoSettings) place(points map[string]*paretoPoint, missing map[string]bool, m result.Measurement,
	costs map[[3]string]result.Measurement) {
	variant, tokens := m.Labels[result.VariantLabel], m.Labels[result.ContextLabel]
	key := variant + " at " + tokens
	p, ok := points[key]
	if !ok {
		p = &paretoPoint{variant, tokens, map[string]result.Measurement{}}
		for _, metric := range costMetrics() {
			for _, t := range []string{tokens, ""} {
				if cost, ok := costs[[3]string{s.Deployed[variant], t, metric}]; ok {
					p.metrics[metric] = cost
				}
			}
		}
		if len(p.metrics) < len(costMetrics()) {
			missing[key] = true
			return
		}
		points[key] = p
	}
	if _, twice := p.metrics[m.Metric]; !twice || m.Protocol == result.Strict {
		p.metrics[m.Metric] = m
	}
}

// outline lists the points by context, and says which are efficient.
func outline(points map[string]*paretoPoint) (all []result.Measurement) {
	sorted := slices.SortedFunc(maps.Values(points), func(a, b *paretoPoint) int {
		x, _ := strconv.Atoi(a.context) // both are numbers, else in any order
		y, _ := strconv.Atoi(b.context)
		return 2*(x-y) + strings.Compare(a.variant, b.variant)
	})
	for _, p := range sorted {
		l := result.Labels{result.VariantLabel: p.variant, result.ContextLabel: p.context}
		for _, metric := range slices.Sorted(maps.Keys(p.metrics)) {
			m := p.metrics[metric]
			m.Labels, m.Protocol, m.Published = l, result.Strict, nil
			all = append(all, m)
		}
		if _, ok := p.metrics[measure.MetricMixture]; ok {
			value := 1.
			if slices.ContainsFunc(sorted, p.dominatedBy) {
				value = 0
			}
			all = append(all, result.ExactOf(l, result.Strict, efficientMetric, "1", value))
		}
	}
	return all
}

// dominatedBy says whether q, at the same context, is at least as good in everything and better in something.
func (p *paretoPoint) dominatedBy(q *paretoPoint) bool {
	accuracy, ok := q.metrics[measure.MetricMixture]
	if !ok || p.context != q.context {
		return false
	}
	better := accuracy.Mean - p.metrics[measure.MetricMixture].Mean
	least, most := better, better
	for _, metric := range []string{"latency", "storage_bytes"} {
		d := p.metrics[metric].Mean - q.metrics[metric].Mean
		least, most = min(least, d), max(most, d)
	}
	return least >= 0 && most > 0
}

// none writes a list, or that it is empty.
func none(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
