package hardware

import (
	"math"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// The metrics of architectures, whose names are not those of the variants' metrics.
const (
	rivalAccuracy = "architecture_accuracy"
	rivalRate     = "architecture_tokens_per_second"
	rivalMemory   = "architecture_memory"
)

// rivalPoints are the architectures of the experiment baselines, as they were trained, by protocol and context: those
// that have an accuracy, a rate and a memory.
func rivalPoints(r *result.Result) (all []result.Measurement) {
	type key struct{ protocol, model, context string }
	type counts struct{ correct, n int }
	var keys []key
	pooled, costs := map[key]counts{}, map[key]map[string]result.Measurement{}
	for _, m := range r.Measurements {
		k := key{m.Protocol, m.Labels[result.ModelLabel], m.Labels[result.ContextLabel]}
		switch {
		case m.Metric == "accuracy" && m.Labels[result.VariantLabel] == result.Trained:
			keys = lab.AppendNew(keys, k)
			pooled[k] = counts{pooled[k].correct + int(math.Round(m.Mean*float64(m.N))), pooled[k].n + m.N}
		case m.Metric == "tokens_per_second" || m.Metric == "memory":
			if costs[k] == nil {
				costs[k] = map[string]result.Measurement{}
			}
			costs[k][m.Metric] = m
		}
	}
	for _, k := range keys {
		rate, timed := costs[k]["tokens_per_second"]
		memory, sized := costs[k]["memory"]
		if !timed || !sized {
			continue
		}
		l := result.Labels{result.ModelLabel: k.model, result.ContextLabel: k.context}
		accuracy := result.Share(l, k.protocol, rivalAccuracy, curriculum.NewAccuracy(pooled[k].correct, pooled[k].n))
		rate.Labels, rate.Metric, rate.Published, rate.Note = l, rivalRate, nil, ""
		memory.Labels, memory.Metric, memory.Published = l, rivalMemory, nil
		all = append(all, accuracy, rate, memory)
	}
	return all
}
