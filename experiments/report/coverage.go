package report

import (
	"slices"

	"github.com/synapnet/synapnet-train/experiments/lab"
)

// SeedRow is a row of one of the lists of the project's public README: a claim, an experiment, a baseline or an
// ablation.
type SeedRow struct {
	List string
	Row  string
}

// String is the row as Experiment.Covers names it.
func (r SeedRow) String() string { return r.List + ": " + r.Row }

// reportRow is answered by the report itself.
var reportRow = SeedRow{"Quickstart", "generate all paper figures"}

// SeedRows lists them in the README's order.
func SeedRows() []SeedRow {
	var rows []SeedRow
	add := func(list string, names ...string) {
		for _, name := range names {
			rows = append(rows, SeedRow{list, name})
		}
	}
	add("Component-Aware Joint Quantization", "SSM layers, 2-bit", "sparse attention, INT4", "episodic memory, INT8",
		"interface layer, ScaleBridge",
		"compression", "accuracy (NIAH-single, 3 seeds)")
	add("Budget-Aware Episodic Eviction", "retention classifier", "budget enforcement", "vs FIFO / LRU",
		"vs learned KV-cache eviction")
	add("Consumer Hardware Benchmarking Suite", "hardware tiers", "parameter memory", "on-disk storage",
		"activation memory", "episodic-store growth",
		"runtime RSS", "sustained throughput under 45-second thermal stress", "energy by token, with rated-TDP fallback")
	add("Benchmarks", "RULER-style (NIAH, variable tracking, frequency aggregation)",
		"LongBench-style (6 task categories)",
		"NeedleBench-style (SNIA / MKN / RoN / CN / ADN)")
	add("Quickstart", "pretrain the reference 8.7M model", "train with CAJQ", "run BAEE grid vs all baselines",
		"hardware deployment profile (3 tiers)")
	rows = append(rows, reportRow)
	add("Baselines", "Mamba-2 (proxy)", "Llama-3.2 (proxy)", "Falcon-H1 / Hymba (proxy)", "EM-LLM",
		"H2O / Scissorhands / SnapKV / PyramidKV / Locret-proxy")
	add("Ablations", "quantization strategy", "eviction policy", "ScaleBridge, post-hoc removal",
		"ScaleBridge, from-scratch comparison", "classifier stability")
	return rows
}

// Answer names the experiments that cover a row; "report" for the row that the report itself answers.
func (r SeedRow) Answer(all []lab.Experiment) []string {
	if r == reportRow {
		return []string{"report"}
	}
	var names []string
	for _, e := range all {
		if slices.Contains(e.Covers, r.String()) {
			names = append(names, e.Name)
		}
	}
	return names
}

// Omission is something that the paper publishes and that no experiment has beside its own.
type Omission struct {
	File string // in results/published
	What string
	Why  string
}

// Omissions lists them in the order of the files' names.
func Omissions() []Omission {
	return []Omission{
		{"exp_baee_grid.json", "192 cells of four policies",
			"an earlier run; the grid of nine policies, exp_baee_grid_kv.json, has the same cells"},
		{"exp_baee_memory_pressure.json", "counts of evictions, times",
			"the counts follow from the budget; the times are of another machine and program"},
		{"exp_baee_microbench.json", "fragmentation, resident memory by chunk, false positives",
			"of Python's allocator; false positives are one less the share held that belongs to the target, which is there"},
		{"exp_cajq_qat_multiseed.json, exp_cajq_long_context.json", "effective bits, accuracy by task of the mixture",
			"bits are in deployment by the published rule; the tasks of the mixture have 14 to 38 samples each"},
		{"exp_classifier_stability.json", "accuracy, losses and their history",
			"the area under the curve is what the paper's table has"},
		{"exp_deployment.json, 130m/exp_deployment.json", "tier apple_silicon_mps, growth of resident memory",
			"no GPU is used here; growth is in activation-memory"},
		{"exp_hardware.json", "latency, throughput, memory on two platforms",
			"an earlier run of what exp_deployment.json has, with an Apple GPU and an estimate for ARM"},
		{"exp_memory_breakdown.json", "activation memory by module, resident memory of the growing store",
			"the sum is compared; the memory is Python's"},
		{"exp_scale_bridge_from_scratch.json", "losses and their history",
			"of the published 400 steps, which leave both models near guessing"},
		{"full_demo_results.json", "training histories, ablations A to C, throughput, aggregate score",
			"accuracies on training data of a model of D 64 trained for moments"},
		{"training_curve.json", "loss and accuracy of single batches every 50 steps",
			"noise of 4 samples; accuracy on held-out samples after each epoch is compared"},
		{"130m/eval_history.json, 130m/per_task_accuracy.json, 130m/training_curve.json", "the training of the 120.9M model",
			"it did not learn (accuracy 0.031) and takes days on two cores"},
	}
}
