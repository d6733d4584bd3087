package experiments

import "slices"

// SeedRow is a row of one of the lists of the project's public README: a claim, an experiment, a baseline or an ablation.
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
	add("Component-Aware Joint Quantization", "SSM layers, 2-bit", "sparse attention, INT4", "episodic memory, INT8", "interface layer, ScaleBridge",
		"compression", "accuracy (NIAH-single, 3 seeds)")
	add("Budget-Aware Episodic Eviction", "retention classifier", "budget enforcement", "vs FIFO / LRU", "vs learned KV-cache eviction")
	add("Consumer Hardware Benchmarking Suite", "hardware tiers", "parameter memory", "on-disk storage", "activation memory", "episodic-store growth",
		"runtime RSS", "sustained throughput under 45-second thermal stress", "energy by token, with rated-TDP fallback")
	add("Benchmarks", "RULER-style (NIAH, variable tracking, frequency aggregation)", "LongBench-style (6 task categories)",
		"NeedleBench-style (SNIA / MKN / RoN / CN / ADN)")
	add("Quickstart", "pretrain the reference 8.7M model", "train with CAJQ", "run BAEE grid vs all baselines", "hardware deployment profile (3 tiers)")
	rows = append(rows, reportRow)
	add("Baselines", "Mamba-2 (proxy)", "Llama-3.2 (proxy)", "Falcon-H1 / Hymba (proxy)", "EM-LLM", "H2O / Scissorhands / SnapKV / PyramidKV / Locret-proxy")
	add("Ablations", "quantization strategy", "eviction policy", "ScaleBridge, post-hoc removal", "ScaleBridge, from-scratch comparison", "classifier stability")
	return rows
}

// Answer names the experiments that cover a row; "report" for the row that the report itself answers.
func (r SeedRow) Answer(all []Experiment) []string {
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
