package hardware

import (
	"context"
	"fmt"
	"strconv"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
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
	return lab.Describe(descriptions, "activation-memory", activationSettings{}, runActivationMemory)
}

// runActivationMemory measures each context in processes of their own, so that one does not hide in memory that another
// left.
func runActivationMemory(ctx context.Context, j *lab.Job, s activationSettings) (*lab.Outcome, error) {
	m, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	contexts := measure.FittingContexts(s.Contexts, m.Config)
	done, err := repeatedCells(j, contexts, s.Processes,
		lab.Outcome{Seeds: []uint64{s.Seed}, Unpublished: !m.Config.Equal(layers.Reference())},
		func(t int, probes []measure.ProbeResult) []result.Measurement {
			return activationMeasurements(m.Config, t, probes)
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
func activationMeasurements(c layers.Config, tokens int, probes []measure.ProbeResult) []result.Measurement {
	l := result.Labels{result.ContextLabel: result.ContextOf(tokens)}
	sum := 0
	for _, o := range moduleOutputs(c, tokens) {
		sum += o.bytes
	}
	all := []result.Measurement{result.ExactOf(l, result.Paper, "activation_bytes", "bytes", float64(sum))}
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
