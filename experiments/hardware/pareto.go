package hardware

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
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
	s := paretoSettings{
		Accuracy: []string{"cajq-qat", "cajq-ablation"}, Tasks: measure.Metrics(), Tier: tierMulti,
		Deployed: map[string]string{
			qat.FP16: variantFP16, qat.FP16Finetuned: variantFP16, "int8_uniform": variantInt8, "int4_uniform": variantInt4,
			qat.CAJQPTQ: variantCAJQ, qat.CAJQQAT: variantCAJQ, qat.CAJQFull: variantCAJQFull,
		},
		Rivals: "baselines",
	}
	e := lab.Experiment{
		Name: "pareto", Folder: "hardware", Title: "Accuracy against latency, memory and bits",
		Source:  "Section 7, pareto_points.json",
		Needs:   append(slices.Clone(s.Accuracy), deploymentName, s.Rivals),
		Version: 2, Estimate: lab.Durations{lab.Quick: time.Second, lab.Full: time.Second},
		Says: "A variant is efficient if no other at the same context is at least as good in accuracy, latency and storage " +
			"and better in one; where intervals of accuracies overlap, that is no more than the order in this sample, and so " +
			"it is where latencies differ by less than the deployment profile's from one minute to the next. Architectures " +
			"are compared apart, for they are trained on short contexts. The published points are five models at context 256, " +
			"trained for moments: four of them answer equally often, and their 4-bit names stand at 16 bits, so they show no " +
			"front.",
	}
	for _, task := range []string{measure.MetricMixture, measure.MetricSingle} {
		for _, x := range []struct{ metric, what string }{{"latency", "latency, milliseconds"},
			{"storage_bytes", "the file, bytes"}, {"effective_bits", "bits a parameter"}} {
			e.Views = append(e.Views, lab.View{
				Title: "Accuracy, " + task + ", against " + x.what, Metric: task, Rows: []string{result.VariantLabel},
				Column: result.ContextLabel,
				Figure: &lab.Figure{Kind: "scatter", X: x.metric, Series: result.VariantLabel},
			})
		}
	}
	for _, x := range []struct{ metric, what string }{{rivalRate, "tokens a second"}, {rivalMemory, "memory, bytes"}} {
		e.Views = append(e.Views, lab.View{
			Title: "Accuracy of architectures against " + x.what, Metric: rivalAccuracy, Rows: []string{result.ModelLabel},
			Column: result.ContextLabel,
			Figure: &lab.Figure{Kind: "scatter", X: x.metric, Series: result.ModelLabel},
		})
	}
	e.Views = append(e.Views, lab.View{Title: "Efficient (1) by accuracy on the training mixture, latency and storage",
		Metric: efficientMetric, Rows: []string{result.VariantLabel}, Column: result.ContextLabel})
	return lab.Define(e, s, s, runPareto)
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
	o.Protocol = fmt.Sprintf(paretoProtocol, s.Tier, none(slices.Sorted(maps.Keys(missing))),
		lab.MachineOf(deployed.Environment), lab.MachineOf(rivals.Environment))
	paper := publishedPoints()
	o.Measurements = append(outline(points), rivalPoints(rivals, paper)...)
	o.Details = map[string]any{"published": paper}
	return o, nil
}

const paretoProtocol = "accuracies as in the CAJQ experiments, with their intervals, of cajq_ptq and cajq_qat those " +
	"from packed bytes, of the others those before packing; latency, throughput, size of the file, weights in memory " +
	"and bits a parameter of the form in which a variant is deployed, on tier %s (training changes none of these). All " +
	"points are under protocol strict, for they are of real files and times. Accuracies that no deployment belongs to, " +
	"left out: %s. The accuracy of int8_uniform is with one scale a tensor, that of int4_uniform with float32 metadata; " +
	"their files have a scale a row, and metadata of a byte. Architectures, of the experiment baselines in floating " +
	"point: paper: accuracy on niah_single, all that the published run had; strict: over all four tasks; their INT4 " +
	"forms are computed in floating point there and have no time or memory of their own, so they are no points. " +
	"Variants were timed on %s; architectures on %s"

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
