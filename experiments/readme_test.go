package experiments

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/result"
)

// readme is the text on the reproduction, in one line, and its lines.
func readme(t *testing.T) (text string, lines []string) {
	t.Helper()
	all, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, from := strings.Cut(string(all), "### The paper, reproduced\n")
	text, _, to := strings.Cut(text, "\n## The model\n")
	if !from || !to {
		t.Fatal("README.md has no chapter on the reproduction")
	}
	return strings.Join(strings.Fields(text), " "), strings.Split(text, "\n")
}

// results are those of the committed files that tests have read, by their paths without the ending.
type results map[string]*result.Result

func (r results) read(t *testing.T, name string) *result.Result {
	t.Helper()
	if r[name] == nil {
		file, err := result.Read(filepath.Join("..", "results", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		r[name] = file
	}
	return r[name]
}

// of is the measurement with exactly these labels, given as name=value.
func (r results) of(t *testing.T, name, protocol, metric string, labels ...string) result.Measurement {
	t.Helper()
	want := result.Labels{}
	for _, l := range labels {
		key, value, _ := strings.Cut(l, "=")
		want[key] = value
	}
	for _, m := range r.read(t, name).Measurements {
		if m.Protocol == protocol && m.Metric == metric && maps.Equal(m.Labels, want) {
			return m
		}
	}
	t.Fatalf("%s has no %s %s of %v", name, protocol, metric, want)
	return result.Measurement{}
}

// shareOf is a share as the README writes it: mean, deviation where there is one, and interval.
func shareOf(m result.Measurement) string {
	std := ""
	if m.Std > 0 {
		std = fmt.Sprintf(" ± %.3f", m.Std)
	}
	return fmt.Sprintf("%.3f%s [%.3f, %.3f]", m.Mean, std, m.Interval.Low, m.Interval.High)
}

// cellsOf are the rows of the table with this heading, by their first cell.
func cellsOf(t *testing.T, lines []string, heading string) map[string][]string {
	t.Helper()
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, heading) })
	if at < 0 {
		t.Fatalf("README.md has no table %q", heading)
	}
	all := map[string][]string{}
	for _, line := range lines[at+2:] {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		all[cells[0]] = cells[1:]
	}
	return all
}

// Every cell of the README's tables is the measurement of the results that its row and column name, and no row is
// missing.
func TestTablesOfTheReadme(t *testing.T) {
	_, lines := readme(t)
	r := results{}
	check := func(heading string, want map[string][]string) {
		t.Helper()
		got := cellsOf(t, lines, heading)
		for row, cells := range want {
			if !slices.Equal(got[row], cells) {
				t.Errorf("%s: row %q is %q, and by the results %q", heading, row, got[row], cells)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d rows, want %d", heading, len(got), len(want))
		}
	}
	want := map[string][]string{}
	for _, task := range []string{"overall", "niah_single", "niah_multi_key", "variable_track", "fa"} {
		m := r.of(t, "pretrain/pretrain", result.Paper, "accuracy", "task="+task)
		want[task] = []string{shareOf(m), fmt.Sprintf("%.3f", m.Published.Mean)}
	}
	check("| task |", want)

	want = map[string][]string{}
	for row, v := range map[string]struct{ variant, protocol string }{
		"pretrained, FP16":                   {"fp16", result.Paper},
		"CAJQ-QAT from packed bytes":         {"cajq_qat", result.Strict},
		"control: FP16, fine-tuned the same": {"fp16_finetuned", result.Strict},
	} {
		for _, length := range []string{"1024", "2048", "4096"} {
			labels := []string{"variant=" + v.variant, "context=" + length}
			cell := shareOf(r.of(t, "cajq/cajq-qat", v.protocol, "niah_single", labels...))
			if v.variant != "fp16_finetuned" { // which the paper has not
				cell += fmt.Sprintf(" *%.3f*", r.of(t, "cajq/cajq-qat", result.Paper, "niah_single", labels...).Published.Mean)
			}
			want[row] = append(want[row], cell)
		}
	}
	check("| variant |", want)

	want = map[string][]string{}
	for row, policy := range map[string]string{
		"baee, the trained classifier": "baee", "baee_salience": "baee_salience", "PyramidKV": "pyramidkv", "H2O": "h2o",
		"Scissorhands": "scissorhands", "TOVA": "tova", "SnapKV": "snapkv", "Expected Attention": "expected_attention",
		"Locret-style head": "locret_proxy", "Random": "random", "K-norm": "knorm", "KeyDiff": "keydiff", "LRU": "lru",
		"FIFO": "fifo",
	} {
		for _, position := range []string{"early", "late"} {
			want[row] = append(want[row], shareOf(r.of(t, "baee/baee-grid", result.Strict, "overall_retention",
				"policy="+policy, "position="+position)))
		}
	}
	check("| policy |", want)

	want = map[string][]string{}
	for row, model := range map[string]string{
		"SynapNet-Edge": "synapnet", "Llama (RMSNorm, SwiGLU, causal)": "llama", "EM-LLM": "em_llm",
		"Falcon-H1 / Hymba": "falcon_h1", "Mamba-2 (selective scan)": "mamba2",
		"GRU-SSM (the paper's Mamba-2 proxy)": "gru_ssm",
	} {
		for _, length := range []string{"128", "256", "512"} {
			want[row] = append(want[row], shareOf(r.of(t, "baselines/baselines", result.Strict, "accuracy", "model="+model,
				"variant=float32", "task=niah_single", "context="+length)))
		}
		speed := math.Round(r.of(t, "baselines/baselines", result.Strict, "tokens_per_second", "model="+model,
			"context=1024").Mean/100) / 10
		want[row] = append(want[row], strings.Replace(fmt.Sprintf("%06.3f", speed), ".", ",", 1))
		last := len(want[row]) - 1
		want[row][last] = strings.TrimPrefix(want[row][last], "0")
	}
	check("| architecture |", want)
}

// sentence is a part of the README with numbers: its form, and what they are.
type sentence struct {
	form string
	of   []any
}

// sentences are all parts of the chapter, besides tables, whose numbers are measurements.
func sentences(t *testing.T) []sentence {
	r := results{}
	mean := func(name, protocol, metric string, labels ...string) float64 {
		t.Helper()
		return r.of(t, name, protocol, metric, labels...).Mean
	}
	single := func(variant, protocol string) float64 {
		return mean("cajq/cajq-qat", protocol, "niah_single", "variant="+variant, "context=1024")
	}
	compression := func(file, variant, of string) float64 {
		return mean("cajq/"+file, result.Strict, "compression", "variant="+variant, "of="+of)
	}
	rss := func(variant string) float64 {
		return mean("hardware/deployment", result.Strict, "rss", "model=8.7M", "variant="+variant, "tier=cpu_multi",
			"context=512") / 1e6
	}
	pressure := func(metric, policy, length string) float64 {
		return mean("baee/memory-pressure", result.Strict, metric, "policy="+policy, "context="+length)
	}
	bytes := func(policy string) float64 {
		return pressure("store_bytes", policy, "1024") + pressure("store_bytes", policy, "2048")
	}
	const grid = "baee/baee-grid"
	kept := func(policy string) float64 {
		return (mean(grid, result.Strict, "overall_retention", "policy="+policy, "position=early") +
			mean(grid, result.Strict, "overall_retention", "policy="+policy, "position=late")) / 2
	}
	at := func(policy, budget string) float64 {
		return mean(grid, result.Strict, "budget_retention", "policy="+policy, "budget="+budget, "position=early")
	}
	headline := func(protocol, policy string) float64 {
		return mean(grid, protocol, "retention", "policy="+policy, "budget=0.1", "position=early", "context=8192")
	}
	entries := func(budget, length string) float64 {
		return 100 * mean(grid, result.Strict, "share_of_entries", "budget="+budget, "context="+length)
	}
	rate := func(lr string) result.Measurement {
		return r.of(t, "baee/baee-train", result.Paper, "auc", "network=published", "learning rate="+lr, "label noise=0")
	}
	best := func(protocol, network string) result.Measurement { // of the rates, at which the others are
		var best result.Measurement
		for _, m := range r.read(t, "baee/baee-train").Measurements {
			if m.Metric == "auc" && m.Protocol == protocol && m.Labels["network"] == network &&
				m.Labels["label noise"] == "0" && m.Mean > best.Mean {
				best = m
			}
		}
		return best
	}
	alone := func(protocol, network, lr, feature string) float64 {
		return mean("baee/baee-train", protocol, "baseline_auc", "network="+network, "learning rate="+lr, "label noise=0",
			"feature="+feature)
	}
	regained := func(length string) float64 {
		return mean("scale-bridge/scale-bridge-removal", result.Strict, "regained", "variant=no_bridge",
			"task=niah_single", "context="+length)
	}
	const scratch = "scale-bridge/scale-bridge-scratch"
	chance := mean(scratch, result.Strict, "permutation_p", "against=any without", "task=niah_single", "context=256")
	bridged, without := seedsOfScratch(t, r.read(t, scratch))
	activations := func(metric string) float64 {
		return mean("hardware/activation-memory", result.Strict, metric, "context=1024") / 1e6
	}
	mixture := func(length string) (ours, published float64) {
		m := r.of(t, "cajq/cajq-qat", result.Paper, "multi_task", "variant=fp16", "context="+length)
		return m.Mean, m.Published.Mean
	}
	twice, twicePublished := mixture("2048")
	four, fourPublished := mixture("4096")
	overhead, end := 0., 0.
	for _, m := range r.read(t, "baee/baee-microbench").Measurements {
		if m.Metric == "relative_overhead" {
			overhead, end = max(overhead, m.Mean), max(end, m.Interval.High)
		}
	}
	published, ours := rate("0.0005"), best(result.Paper, "retention")
	attended, needle := best(result.Strict, "retention"), best(result.Strict, "needle")
	packed := func(length string) float64 {
		return mean("baselines/baselines", result.Strict, "accuracy", "model=synapnet", "variant=cajq_ptq",
			"task=niah_single", "context="+length)
	}
	return []sentence{
		{"(%.3f and %.3f against %.3f)", []any{single("cajq_qat", result.Strict), single("fp16_finetuned", result.Strict),
			single("fp16", result.Paper)}},
		{"**%.1f times** for the SSM and attention weights", []any{compression("cajq-qat", "cajq_qat", "packed weights")}},
		{"the whole model is %.1f times smaller", []any{compression("cajq-ablation", "cajq_full", "whole model")}},
		{"tiers keep the target in %.2f and %.2f of 64 cases at 1,024 and 2,048 tokens, in %.0f%% of the bytes in which " +
			"half precision alone keeps it in %.2f and %.2f",
			[]any{pressure("retention", "baee, tiers", "1024"), pressure("retention", "baee, tiers", "2048"),
				100 * bytes("baee, tiers") / bytes("baee"), pressure("retention", "baee", "1024"),
				pressure("retention", "baee", "2048")}},
		{"%.2f of early and late targets against %.2f and %.2f", []any{kept("baee"), kept("fifo"), kept("lru")}},
		{"it keeps %.3f of the early ones, PyramidKV, which learns nothing, %.3f; from a fifth on PyramidKV keeps as many " +
			"(%.3f and %.3f)", []any{at("baee", "0.1"), at("pyramidkv", "0.1"), at("baee", "0.2"), at("pyramidkv", "0.2")}},
		{"At 8,192, which the paper did not run: %.2f by the same rule, %.2f by the classifier, %.0f by FIFO; LRU, once it " +
			"sees the reads, keeps %.2f", []any{headline(result.Paper, "baee_salience"), headline(result.Strict, "baee"),
			headline(result.Strict, "fifo"), headline(result.Strict, "lru")}},
		{"%.3f, %.3f, %.3f at 1e-4, 5e-4, 1e-3 (published %.3f, %.3f, %.3f). Ranking by salience alone gives %.3f",
			[]any{rate("0.0001").Mean, published.Mean, rate("0.001").Mean, rate("0.0001").Published.Mean,
				published.Published.Mean, rate("0.001").Published.Mean,
				alone(result.Paper, "published", "0.0005", "salience")}},
		{"medians up to %.1f%%, the ends of their intervals up to %.0f%%", []any{100 * overhead, 100 * end}},
		{"regains %.2f of the gap to the same with it at 1,024 tokens, %.2f at 2,048 and %.2f at 4,096",
			[]any{regained("1024"), regained("2048"), regained("4096")}},
		{"with %.0f%% fewer parameters", []any{100 * (1 - mean(scratch, result.Strict, "parameters", "variant=no_bridge")/
			mean(scratch, result.Strict, "parameters", "variant=with_bridge"))}},
		{"three seeds with a bridge find %.3f, %.3f and %.3f of single needles, the six without all more than %.2f, which " +
			"chance alone does in 1 of %.0f cases (exact p %.3f", []any{bridged[0], bridged[1], bridged[2],
			math.Floor(100*slices.Min(without)) / 100, 1 / chance, chance}},
		{"a pass plans %.1f MB, and the process grows by %.0f MB",
			[]any{activations("activation_bytes"), activations("rss_growth")}},
		{"level at 2,048 (%.3f, published %.3f), not at 4,096 (%.3f, published %.3f)",
			[]any{twice, twicePublished, four, fourPublished}},
		{"are %.2f times smaller than in FP16, and the whole model, every parameter and the file's header counted, %.2f " +
			"times (%.1f MB)", []any{compression("cajq-qat", "cajq_qat", "packed weights"),
			compression("cajq-ablation", "cajq_full", "whole model"),
			mean("hardware/deployment", result.Strict, "storage_bytes", "model=8.7M", "variant=cajq_full") / 1e6}},
		{"runs from its %.1f MB, in a process of %.0f MB at 512 tokens instead of %.0f", []any{
			mean("hardware/deployment", result.Strict, "weight_bytes", "model=8.7M", "variant=cajq_full") / 1e6,
			rss("cajq_full"), rss("fp16")}},
		{"ROC-AUC of %.3f ± %.3f with the published settings (published %.3f ± %.3f; ranking by salience alone %.3f), and " +
			"%.3f ± %.3f with our recipe", []any{published.Mean, published.Std, published.Published.Mean,
			published.Published.Std, alone(result.Paper, "published", "0.0005", "salience"), ours.Mean, ours.Std}},
		{"attend to, %.3f ± %.3f (ranking by past use alone %.3f), and which entries carry the answer, %.3f ± %.3f (by " +
			"salience alone %.3f)", []any{attended.Mean, attended.Std,
			alone(result.Strict, "retention", attended.Labels["learning rate"], "use"), needle.Mean, needle.Std,
			alone(result.Strict, "needle", needle.Labels["learning rate"], "salience")}},
		{"10%% of them is %.0f%% of the entries, 50%% is %.0f%%", []any{entries("0.1", "1024"), entries("0.5", "2048")}},
		{"gives %.3f, %.3f and %.3f.", []any{packed("128"), packed("256"), packed("512")}},
	}
}

// seedsOfScratch are the shares of single needles found at twice the training's length, of the models with a bridge, by
// seed, and of all without.
func seedsOfScratch(t *testing.T, r *result.Result) (bridged, without []float64) {
	t.Helper()
	var details struct {
		Cells map[string]struct {
			Accuracy map[string]map[string]struct{ Mean float64 }
		}
	}
	if err := json.Unmarshal(r.Details, &details); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(details.Cells)) {
		found := details.Cells[name].Accuracy["256"]["niah_single"].Mean
		switch {
		case strings.HasPrefix(name, "strict/with_bridge/"):
			bridged = append(bridged, found)
		case strings.HasPrefix(name, "strict/"):
			without = append(without, found)
		}
	}
	if len(bridged) != 3 || len(without) != 6 {
		t.Fatalf("%d models with a bridge, %d without", len(bridged), len(without))
	}
	return bridged, without
}

// What the README has of numbers besides measurements: bounds that TestBoundsOfTheReadme holds, settings, and what
// others published.
var otherNumbers = []string{
	"within 0.03 of the control", "within 0.01 of FP16", "±0.05", "it is 0.03 to 0.09 below", "no 95% interval",
	"4.4 times smaller", "71% of early targets kept in an 8K stream, 0% by FIFO", "with their 95% interval",
	"budgets of 10 to 50%", "Six architectures of 8.7 M parameters within 5%",
}

// Every number in the README's text on the reproduction is, to its last digit, the measurement of a committed result,
// or one of otherNumbers. The comparison with PyTorch, while it is here, is of no result.
func TestNumbersOfTheReadme(t *testing.T) {
	text, lines := readme(t)
	for _, heading := range []string{"| task |", "| variant |", "| policy |", "| architecture |"} {
		at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, heading) })
		for at < len(lines) && strings.HasPrefix(lines[at], "|") {
			text = strings.Replace(text, strings.Join(strings.Fields(lines[at]), " "), "", 1)
			at++
		}
	}
	if before, pytorch, ok := strings.Cut(text, "Reference model on 2 cores"); ok {
		_, after, _ := strings.Cut(pytorch, "`scripts/peer_bench.sh")
		text = before + after
	}
	for _, s := range sentences(t) {
		want := fmt.Sprintf(s.form, s.of...)
		if !strings.Contains(text, want) {
			t.Errorf("README.md does not say %q", want)
		}
		text = strings.Replace(text, want, "", 1)
	}
	for _, other := range otherNumbers {
		if !strings.Contains(text, other) {
			t.Errorf("README.md has no more %q: take it out of otherNumbers", other)
		}
		text = strings.Replace(text, other, "", 1)
	}
	for _, at := range regexp.MustCompile(`\d\.\d+|\d%`).FindAllStringIndex(text, -1) {
		t.Errorf("README.md has a number that no result is behind: %q", text[max(0, at[0]-60):min(len(text), at[1]+30)])
	}
}

// The bounds that the README gives of differences between variants hold of every one.
func TestBoundsOfTheReadme(t *testing.T) {
	r := results{}
	const name = "cajq/cajq-qat"
	apart := func(a, aProtocol, b, bProtocol string) float64 {
		most := 0.
		for _, task := range []string{"niah_single", "niah_multi_key", "multi_task"} {
			for _, length := range []string{"1024", "2048", "4096"} {
				x := r.of(t, name, aProtocol, task, "variant="+a, "context="+length)
				y := r.of(t, name, bProtocol, task, "variant="+b, "context="+length)
				most = max(most, math.Abs(x.Mean-y.Mean))
			}
		}
		return most
	}
	if got := apart("cajq_qat", result.Strict, "fp16_finetuned", result.Strict); got > 0.035 {
		t.Errorf("CAJQ-QAT is %.3f from the control", got)
	}
	if got := apart("cajq_ptq", result.Strict, "fp16", result.Paper); got > 0.015 {
		t.Errorf("PTQ is %.3f from FP16", got)
	}
	for _, m := range r.read(t, name).Measurements {
		if m.Metric == "difference" && m.Labels["variant"] == "cajq_ptq" && m.Interval != nil &&
			max(-m.Interval.Low, m.Interval.High) > 0.05 {
			t.Errorf("an interval of PTQ is %+v: %v", *m.Interval, m.Labels)
		}
	}
	for _, length := range []string{"512", "1024", "2048"} {
		needle := func(variant string) float64 {
			return r.of(t, "benchmarks/needlebench", result.Strict, "accuracy", "variant="+variant, "task=snia",
				"context="+length).Mean
		}
		if got := needle("fp16_finetuned") - needle("cajq_qat"); got < 0.025 || got > 0.095 {
			t.Errorf("on NeedleBench's single needle CAJQ-QAT is %.3f below the control at %s", got, length)
		}
	}
}
