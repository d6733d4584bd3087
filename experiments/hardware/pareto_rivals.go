package hardware

import (
	"fmt"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/results/published"
)

// The metrics of architectures, whose names are not those of the variants' metrics.
const (
	rivalAccuracy = "architecture_accuracy"
	rivalRate     = "architecture_tokens_per_second"
	rivalMemory   = "architecture_memory"
)

// rivalPoints are the architectures of the experiment baselines, as they were trained, by protocol and context: those
// that have an accuracy, a rate and a memory. The published points are beside the paper protocol's.
func rivalPoints(r *result.Result, paper []publishedPoint) (all []result.Measurement) {
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
		if p, ok := publishedRival(paper, k.model, k.context); ok && k.protocol == result.Paper {
			accuracy.Published, rate.Published, memory.Published = &result.MeanStd{Mean: p.Accuracy},
				&result.MeanStd{Mean: p.Rate}, &result.MeanStd{Mean: p.Memory * (1 << 20)}
			accuracy.Note = fmt.Sprintf("published as %s, at %.3g bits", p.Model, p.Bits)
		}
		all = append(all, accuracy, rate, memory)
	}
	return all
}

// publishedPoint is one of the published ones, in the paper's words.
type publishedPoint struct {
	Model    string  `json:"model_name"`
	Accuracy float64 `json:"accuracy"`
	Rate     float64 `json:"latency_tok_s"` // tokens a second
	Memory   float64 `json:"memory_mb"`     // of the process, 2^20 bytes
	Context  int     `json:"context_len"`
	Bits     float64 `json:"effective_bits"`
}

func publishedPoints() []publishedPoint {
	return published.Must[[]publishedPoint]("pareto_points.json")
}

// publishedRival finds an architecture's.
func publishedRival(all []publishedPoint, model, context string) (publishedPoint, bool) {
	name := map[string]string{
		"gru_ssm": "Mamba2-INT4", "llama": "Llama-AWQ-INT4", "falcon_h1": "FalconH1-FP16", "em_llm": "EMLLM-FP16",
		"synapnet": "SynapNetEdge-CAJQ",
	}[model]
	i := slices.IndexFunc(all, func(p publishedPoint) bool {
		return p.Model == name &&
			result.ContextOf(p.Context) == context
	})
	if i < 0 {
		return publishedPoint{}, false
	}
	return all[i], true
}
