package hardware

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/results/published"
)

// activationSettings are those of the memory of one forward pass by context.
type activationSettings struct {
	Contexts  []int  `json:"contexts"`  // tokens
	Processes int    `json:"processes"` // measurements of a context, each in a process of its own
	Passes    int    `json:"passes"`    // in a process
	Seed      uint64 `json:"seed"`      // of the tokens
}

// ActivationMemoryExperiment measures the memory of intermediate values.
func ActivationMemoryExperiment() lab.Experiment {
	full := activationSettings{Contexts: []int{512, 1024, 2048, 4096}, Processes: 5, Passes: 2, Seed: 42}
	quick := full
	quick.Contexts, quick.Processes = []int{64, 128, 256}, 3
	return lab.Define(lab.Experiment{
		Name: "activation-memory", Folder: "hardware", Alone: true, OneMachine: true, Title: "Activation memory by context",
		Source: "Section 5, exp_memory_breakdown.json (activation)",
		Covers: []string{"Consumer Hardware Benchmarking Suite: activation memory",
			"Consumer Hardware Benchmarking Suite: runtime RSS"},
		Needs:    []string{"pretrain"},
		Estimate: lab.Durations{lab.Quick: 3 * time.Second, lab.Full: 10 * time.Second},
		Views: []lab.View{
			{Title: "Activation memory of one pass, bytes: sum of module outputs (paper), planned arena (strict)",
				Metric: "activation_bytes", Rows: []string{result.ContextLabel},
				Figure: &lab.Figure{Kind: "line", X: result.ContextLabel}},
			{Title: "Growth of the process over one pass, bytes", Metric: "rss_growth", Rows: []string{result.ContextLabel}},
			{Title: "Largest growth of the process during a pass, bytes", Metric: "peak_rss_growth",
				Rows: []string{result.ContextLabel}},
		},
		Says: "The published figure adds up what every module ever puts out, most of which is not in memory at the same " +
			"time, and leaves out what happens inside modules, e.g. attention scores. The strict ones are what a pass takes: " +
			"the planned arena in which all intermediate values live, and what the process really grows by.",
	}, full, quick, runActivationMemory)
}

const activationProtocol = "activation_bytes: paper: the sum of the outputs of all leaf modules in float32, from " +
	"their shapes, batch 1, every token of every block; strict: the bytes of the arena that the inference program " +
	"allocates for all intermediate values, whose lives do not overlap where they share memory; it computes in the last " +
	"block what the last token needs. rss_growth and peak_rss_growth: resident memory of a fresh process after its " +
	"passes, and the largest until then, beyond what it was with the model loaded: arena, graph, scratch memory of the " +
	"kernels and what the Go runtime holds; median of the processes. " + measure.IdleNote

// runActivationMemory measures each context in processes of their own, so that one does not hide in memory that another
// left.
func runActivationMemory(ctx context.Context, j *lab.Job, s activationSettings) (*lab.Outcome, error) {
	m, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	contexts := measure.FittingContexts(s.Contexts, m.Config)
	paper := publishedActivations(m.Config)
	done, err := repeatedCells(j, contexts, s.Processes,
		lab.Outcome{Seeds: []uint64{s.Seed}, Protocol: activationProtocol},
		func(t int, probes []measure.ProbeResult) []result.Measurement {
			return activationMeasurements(m.Config, t, probes, paper[t])
		})
	if err != nil {
		return nil, err
	}
	for _, t := range contexts {
		for i := range s.Processes {
			p := measure.Probe{Model: j.Model(), Context: t, Threads: measure.AllThreads(), Timed: s.Passes, Seed: s.Seed}
			_, err := done.Do(ctx, repetition(t, i), func() (measure.ProbeResult, error) { return p.Start(ctx) })
			if err != nil {
				return nil, err
			}
		}
		j.Line("%d tokens: %d bytes of intermediate values", t, done.Done[repetition(t, 0)].ArenaBytes)
	}
	return done.Finish()
}

// repeatedCells are those of an experiment that measures each context several times, whose outcome is made of the
// measurements of each context's.
func repeatedCells[T any](j *lab.Job, contexts []int, times int, outcome lab.Outcome,
	measurements func(tokens int, cells []T) []result.Measurement) (*lab.Cells[T], error) {
	done, err := lab.NewCells[T](j, len(contexts)*times)
	if err != nil {
		return nil, err
	}
	done.Outcome = func() (*lab.Outcome, error) {
		o := outcome
		for _, t := range contexts {
			var cells []T
			for i := range times {
				if c, ok := done.Done[repetition(t, i)]; ok {
					cells = append(cells, c)
				}
			}
			o.Measurements = append(o.Measurements, measurements(t, cells)...)
		}
		return &o, nil
	}
	return done, nil
}

// repetition names such a cell.
func repetition(tokens, i int) string { return fmt.Sprintf("%d-%d", tokens, i) }

// activationMeasurements are those of one context.
func activationMeasurements(c layers.Config, tokens int, probes []measure.ProbeResult,
	paper *result.MeanStd) []result.Measurement {
	l := result.Labels{result.ContextLabel: result.ContextOf(tokens)}
	sum := 0
	for _, o := range moduleOutputs(c, tokens) {
		sum += o.bytes
	}
	all := []result.Measurement{result.ExactOf(l, result.Paper, "activation_bytes", "bytes", float64(sum))}
	all[0].Published = paper
	if len(probes) == 0 {
		return all
	}
	all = append(all, result.ExactOf(l, result.Strict, "activation_bytes", "bytes", float64(probes[0].ArenaBytes)))
	var growth, peak []float64
	for _, p := range probes {
		if p.LoadedRSS > 0 && p.RSS > 0 {
			growth = append(growth, float64(p.RSS)-float64(p.LoadedRSS))
			peak = append(peak, float64(p.PeakRSS)-float64(p.LoadedRSS))
		}
	}
	if len(growth) == 0 {
		return all // the system does not tell
	}
	return append(all, result.MedianOf(l, result.Strict, "rss_growth", "bytes", growth),
		result.MedianOf(l, result.Strict, "peak_rss_growth", "bytes", peak))
}

// moduleOutput is what a leaf module of the reference puts out in one pass, in float32.
type moduleOutput struct {
	module string // its name in the reference
	bytes  int
}

// moduleOutputs lists the leaf modules of the reference, which computes every token in every block.
func moduleOutputs(c layers.Config, tokens int) []moduleOutput {
	const float = 4
	row := tokens * c.Dim * float // of one vector a token
	hidden := tokens * int(float64(c.Dim)*c.MLPRatio) * float
	slots := c.EpisodicSlots * c.Dim * float
	all := []moduleOutput{{"token_embed", row}}
	for i := range c.Depth {
		block := []moduleOutput{
			{"norm_in", row}, {"ssm.dwconv", row}, {"ssm.gate", row},
			{"attn.salience_mlp.0", tokens * (c.Dim / 2) * float}, {"attn.salience_mlp.1", tokens * (c.Dim / 2) * float},
			{"attn.salience_mlp.2", tokens * float},
			{"attn.to_q", row}, {"attn.to_k", row}, {"attn.to_v", row}, {"attn.to_out", row},
			{"epmem.query_proj", row}, {"epmem.key_proj", slots}, {"epmem.val_proj", slots}, {"epmem.out_proj", row},
		}
		if c.UseScaleBridge {
			block = append(block, moduleOutput{"scale_bridge.norms.0", row}, moduleOutput{"scale_bridge.norms.1", row},
				moduleOutput{"scale_bridge.norms.2", row},
				moduleOutput{"scale_bridge.fuse", 3 * row})
		}
		block = append(block, moduleOutput{"alpha_gate", row}, moduleOutput{"beta_gate", row},
			moduleOutput{"ff.0", row}, moduleOutput{"ff.1", hidden}, moduleOutput{"ff.2", hidden}, moduleOutput{"ff.3", row})
		for _, o := range block {
			all = append(all, moduleOutput{"blocks." + strconv.Itoa(i) + "." + o.module, o.bytes})
		}
	}
	head := c.NumClasses * float
	if c.LanguageModel() {
		head = tokens * c.VocabSize * float
	}
	return append(all, moduleOutput{"norm_out", row}, moduleOutput{"head", head})
}

// publishedActivations are the published figures by context, of the reference model; none of another.
func publishedActivations(c layers.Config) map[int]*result.MeanStd {
	if !c.Equal(layers.Reference()) {
		return nil
	}
	table := published.Must[struct {
		Activation []struct {
			Context int     `json:"ctx_len"`
			Bytes   float64 `json:"total_activation_bytes"`
		} `json:"activation"`
	}](breakdownFile)
	all := map[int]*result.MeanStd{}
	for _, a := range table.Activation {
		all[a.Context] = &result.MeanStd{Mean: a.Bytes}
	}
	return all
}

// breakdownFile is the published file of memory, energy and sustained throughput.
const breakdownFile = "exp_memory_breakdown.json"
