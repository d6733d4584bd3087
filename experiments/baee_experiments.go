package experiments

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/result"
)

func baeeTrainExperiment() Experiment {
	quick := DefaultBAEETrain()
	quick.Seeds, quick.PaperSequences, quick.PaperContext, quick.PaperSteps = []uint64{42, 43}, 16, 128, 100
	quick.Sequences, quick.Context, quick.Chunk, quick.Steps = 20, 256, 64, 200
	const network, rate, noise = "network", "learning rate", "label noise"
	return define(Experiment{
		Name: "baee-train", Folder: "baee", Title: "Stability of the retention classifier",
		Source: "Section 4.1, exp_classifier_stability.json",
		Covers: []string{"Budget-Aware Episodic Eviction: retention classifier", "Ablations: classifier stability"},
		Needs:  []string{"pretrain"}, Files: []string{ClassifierFile, AttentionClassifierFile, HeadFile},
		Estimate: func(p Profile) time.Duration {
			if p == Quick {
				return 15 * time.Second
			}
			return 15 * time.Minute
		},
		Views: []View{
			{Title: "Area under the ROC curve on held-out entries", Metric: "auc", Rows: []string{network, rate}, Column: noise,
				Figure: &Figure{Kind: "line", X: rate, Series: noise, LogX: true}},
			{Title: "The same entries ranked by one feature alone", Metric: "baseline_auc", Rows: []string{network, "feature", rate}, Column: noise},
		},
		Says: "The published protocol asks the classifier for a label that is made of its own inputs; under the strict protocol it has to foresee which entries " +
			"later chunks attend to (network retention), or which carry the answer (network needle, whose weights policy baee uses), on sequences it has not seen. The baselines rank by salience or by past use without any training.",
	}, DefaultBAEETrain(), quick, func(ctx context.Context, j *Job, c BAEETrainConfig) (*Outcome, error) {
		work, err := j.work()
		if err != nil {
			return nil, err
		}
		e, err := NewBAEETrain(c, j.Model(), work, j.Environment)
		if err != nil {
			return nil, err
		}
		e.Report = BAEETrainReport{
			Collect: func(p baee.Protocol, sequences, context int) {
				j.Line("%s: collecting from %d sequences of %d tokens", p, sequences, context)
			},
			Cell: func(_ BAEETrainCell, _ bool, done, total int) { j.Progress(done, total) },
		}
		r, err := e.Run(ctx)
		if err != nil {
			return nil, err
		}
		for _, name := range []string{ClassifierFile, AttentionClassifierFile, HeadFile} {
			if err := os.Rename(filepath.Join(e.Dir, name), filepath.Join(j.Dir, name)); err != nil {
				return nil, fmt.Errorf("cannot put %s into its place: %w", name, err)
			}
		}
		o := &Outcome{Seeds: c.Seeds, Protocol: baeeTrainProtocol, Details: r, Cost: &r.Cost}
		for _, s := range r.Summary {
			l := labels{network: s.Network, rate: number(s.LR), noise: number(s.Noise)}
			var auc, salience, use []float64
			for _, cell := range r.Cells {
				if cell.Protocol == s.Protocol && cell.Network == s.Network && cell.LR == s.LR && cell.Noise == s.Noise {
					auc, salience, use = append(auc, cell.AUC), append(salience, cell.SalienceAUC), append(use, cell.UseAUC)
				}
			}
			m := result.Mean(result.Measurement{Labels: l, Protocol: string(s.Protocol), Metric: "auc", Unit: "1"}, auc...)
			m.Published = s.Published
			o.Measurements = append(o.Measurements, m)
			if s.Network == HeadNetwork {
				continue
			}
			for feature, x := range map[string][]float64{"salience": salience, "use": use} {
				o.Measurements = append(o.Measurements, result.Mean(result.Measurement{
					Labels: labels{network: s.Network, "feature": feature, rate: number(s.LR), noise: number(s.Noise)}, Protocol: string(s.Protocol), Metric: "baseline_auc", Unit: "1",
				}, x...))
			}
		}
		return o, nil
	})
}

func baeeGridExperiment() Experiment {
	quick := DefaultBAEEGrid()
	quick.Budgets, quick.Seeds, quick.Contexts, quick.Samples, quick.Chunk, quick.Headline = []float64{0.1, 0.5}, []uint64{42, 43}, []int{128, 256}, 4, 64, false
	const budget, position = "budget", "position"
	return define(Experiment{
		Name: "baee-grid", Folder: "baee", Title: "Eviction policies: what is still held",
		Source: "Section 4.2, exp_baee_grid_kv.json",
		Covers: []string{
			"Quickstart: run BAEE grid vs all baselines", "Ablations: eviction policy", "Baselines: H2O / Scissorhands / SnapKV / PyramidKV / Locret-proxy",
			"Budget-Aware Episodic Eviction: vs FIFO / LRU", "Budget-Aware Episodic Eviction: vs learned KV-cache eviction",
		},
		Needs:  []string{"pretrain", "baee-train"},
		Estimate: func(p Profile) time.Duration {
			if p == Quick {
				return 30 * time.Second
			}
			return 70 * time.Minute
		},
		Views: []View{
			{Title: "Retention over all cells of the grid", Metric: "overall_retention", Rows: []string{policyLabel}, Column: position,
				Figure: &Figure{Kind: "bar", X: policyLabel, Series: position}},
			{Title: "Retention of the target", Metric: "retention", Rows: []string{contextLabel, position, policyLabel}, Column: budget,
				Figure: &Figure{Kind: "line", X: budget, Series: policyLabel}},
			{Title: "Answers right", Metric: "accuracy", Rows: []string{contextLabel, position, policyLabel}, Column: budget},
		},
		Says: "Retention says that some layer still holds an entry written at the target's key, not that the model can use it. Under the paper's protocol several " +
			"policies are the same algorithm, because the reference never accumulates attention; the strict protocol gives each its own.",
	}, DefaultBAEEGrid(), quick, func(ctx context.Context, j *Job, c BAEEGridConfig) (*Outcome, error) {
		work, err := j.work()
		if err != nil {
			return nil, err
		}
		e, err := NewBAEEGrid(c, j.Model(), j.File("baee-train", ClassifierFile), j.File("baee-train", HeadFile), filepath.Join(work, "baee-grid.json"), j.Environment)
		if err != nil {
			return nil, err
		}
		e.Report = func(_ BAEECell, _ bool, done, total int) { j.Progress(done, total) }
		r, err := e.Run(ctx)
		if err != nil {
			return nil, err
		}
		o := &Outcome{Seeds: c.Seeds, Protocol: baeeGridProtocol, Details: r, Cost: &r.Cost}
		paper, err := publishedRetention()
		if err != nil {
			return nil, err
		}
		keys, of := groupCells(r.Cells, BAEECell.key)
		for _, k := range keys {
			l := labels{contextLabel: contextOf(k.context), position: k.position, policyLabel: k.policy, budget: number(k.budget)}
			var retention, answers []curriculum.Accuracy
			for _, cell := range of[k] {
				retention, answers = append(retention, cell.Retention), append(answers, cell.Accuracy)
			}
			m := shareOverSeeds(l, string(k.protocol), "retention", retention)
			if k.protocol == baee.Paper {
				k.protocol = ""
				if p, ok := paper[k]; ok {
					m.Published = &p
				}
			}
			o.Measurements = append(o.Measurements, m, shareOverSeeds(l, m.Protocol, "accuracy", answers))
		}
		for _, all := range r.Overall {
			o.Measurements = append(o.Measurements, share(labels{policyLabel: all.Policy, position: all.Position}, string(all.Protocol), "overall_retention", all.Retention))
		}
		return o, nil
	})
}

// number writes a setting as a label.
func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
