// Package bench times training steps and passes of the reference model, and watches the memory of a training run.
// Growth is measured in a real pretraining, so this is the one subject that uses another one, pretrain.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/pretrain"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/qat"
)

// The cases of a benchmark of the reference model.
const (
	TrainStep    = "train_step" // forward, backward, AdamW with clipping
	Inference    = "inference"  // forward, logits of the last token
	Packed       = "packed"     // Inference from packed weights
	MemoryGrowth = "growth"     // resident memory in a training run
)

// Case is one measurement. Its peak memory is that of the process, so each wants a process of its own.
type Case struct {
	Name        string `json:"name"`
	Context     int    `json:"context"` // tokens
	Batch       int    `json:"batch"`
	Repetitions int    `json:"repetitions"` // timed, after one that is not
	// Model is the file of the model, in floating point or packed; "" is the reference model as it is initialised.
	Model string `json:"model,omitempty"`
}

// Result is what a Case measured.
type Result struct {
	Case
	Seconds         float64 `json:"seconds"` // median of the repetitions
	SecondsMin      float64 `json:"seconds_min"`
	SecondsMax      float64 `json:"seconds_max"`
	TokensPerSecond float64 `json:"tokens_per_second"`
	PeakRSSBytes    uint64  `json:"peak_rss_bytes"` // 0: the system does not tell
	WeightBytes     int     `json:"weight_bytes"`   // in memory
	// GFLOPS is the rate of the matrix products in the equations, see layers.Cost, at the median.
	GFLOPS float64 `json:"gflops"`
	// ShareOfPeak is GFLOPS over the sgemm rate of the machine; 0 until both are known.
	ShareOfPeak float64 `json:"share_of_peak"`
}

// Run is one call of the benchmark: what its cases measured.
type Run struct {
	PeakGFLOPS  float64            `json:"gflops_peak"` // sgemm, the best of several measurements in the run
	Environment result.Environment `json:"environment"`
	Results     []Result           `json:"results"`
	Growth      []Growth           `json:"growth,omitempty"`
}

// InOwnProcess has a new process, as ProbeCommand, run the case and reads its result: a *Growth for MemoryGrowth, else
// a *Result.
func (b Case) InOwnProcess(ctx context.Context, result any) error {
	err := measure.InOwnProcess(ctx, measure.AllThreads(), kind, b, result)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s at context %d, batch %d: %w", b.Name, b.Context, b.Batch, err)
	}
	return err
}

// Run measures a case in this process, until ctx ends.
func (b Case) Run(ctx context.Context) (Result, error) {
	r := Result{Case: b}
	m, err := b.model()
	if err != nil {
		return r, err
	}
	r.WeightBytes = m.WeightBytes()
	step, operations, err := b.prepare(m)
	if err != nil {
		return r, err
	}
	var seconds []float64
	for i := range b.Repetitions + 1 {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		start := time.Now()
		if err := step(); err != nil {
			return r, err
		}
		if i > 0 { // the first touches all memory for the first time
			seconds = append(seconds, time.Since(start).Seconds())
		}
	}
	r.Seconds, r.SecondsMin, r.SecondsMax = result.Median(seconds), slices.Min(seconds), slices.Max(seconds)
	r.TokensPerSecond = float64(b.Batch*b.Context) / r.Seconds
	r.GFLOPS = operations / r.Seconds / 1e9
	r.PeakRSSBytes = host.PeakRSS()
	return r, nil
}

func (b Case) model() (*layers.Model, error) {
	if b.Model == "" {
		return layers.NewModel(layers.Reference(), 42)
	}
	return layers.Load(b.Model)
}

// PackReference writes the reference model as it is initialised, with every target quantised and packed, to path.
func PackReference(path string) error {
	m, err := layers.NewModel(layers.Reference(), 42)
	if err != nil {
		return err
	}
	calibration, err := qat.CalibrateOnMixture(context.Background(), m, 1, 4, 512,
		tasks.Seeded(42).For(tasks.Demonstration, 0))
	if err != nil {
		return err
	}
	o := qat.DefaultOptions()
	o.Targets, o.Metadata = qat.AllTargets(), qat.MetadataCompact
	q, err := qat.Prepare(m, calibration, o)
	if err != nil {
		return err
	}
	f, err := q.PackedFile()
	if err != nil {
		return err
	}
	return safetensors.Write(path, f)
}

// prepare gives what is timed and the operations in it.
func (b Case) prepare(m *layers.Model) (step func() error, operations float64, err error) {
	samples, err := tasks.Generate("niah_single", b.Batch,
		tasks.Params{Length: b.Context, Vocab: m.Config.VocabSize, Classes: m.Config.NumClasses},
		tasks.Seeded(42).For(tasks.Demonstration, 0))
	if err != nil {
		return nil, 0, err
	}
	var ids, labels []int32
	for _, s := range samples {
		ids, labels = append(ids, s.IDs...), append(labels, s.Label)
	}
	cost := layers.Total(m.Config.Costs(b.Context))
	switch b.Name {
	case TrainStep:
		t, err := m.Train(b.Batch, b.Context)
		if err != nil {
			return nil, 0, err
		}
		d := curriculum.Default()
		solver := graph.NewAdamW(d.Beta1, d.Beta2, d.Clip,
			&graph.Group{LR: d.LR, WeightDecay: d.WeightDecay, Params: m.Params.All()})
		return func() error {
			if _, err := t.Run(ids, labels); err != nil {
				return err
			}
			return solver.Step(t.Program.Gradients())
		}, float64(b.Batch) * (cost.Forward + cost.Backward), nil
	case Inference, Packed:
		f, err := m.Infer(b.Batch, b.Context, 0)
		if err != nil {
			return nil, 0, err
		}
		return func() error {
			_, err := f.Run(ids, nil)
			return err
		}, float64(b.Batch) * cost.Forward, nil
	}
	return nil, 0, fmt.Errorf("no benchmark is called %q", b.Name)
}

// The steps between which memory must not grow, and by how much it may.
const (
	growthFrom    = 20
	growthTo      = 300
	GrowthAllowed = 0.05
)

// Growth is the resident memory of this process at two steps of one training run.
type Growth struct {
	Context  int     `json:"context"`
	Batch    int     `json:"batch"`
	FromStep int     `json:"from_step"`
	ToStep   int     `json:"to_step"`
	From     uint64  `json:"rss_from_bytes"`
	To       uint64  `json:"rss_to_bytes"`
	Largest  uint64  `json:"rss_largest_bytes"` // after any step from FromStep to ToStep
	Change   float64 `json:"change"`            // To / From - 1
}

// Within says whether the memory grew by no more than GrowthAllowed.
func (g Growth) Within() bool { return g.Change <= GrowthAllowed }

// MeasureGrowth pretrains the reference model for 300 steps, as the command pretrain does, checkpoints included, in a
// temporary directory, and reads the resident memory after steps 20 and 300.
func MeasureGrowth(ctx context.Context, length, batch int) (Growth, error) {
	c := curriculum.Default()
	c.Curriculum, c.BatchSize = []int{length}, batch
	return growth(ctx, c, growthFrom, growthTo)
}

// growth reads the resident memory after two steps of a run of c's model, contexts and batch size.
func growth(ctx context.Context, c curriculum.Config, from, to int) (Growth, error) {
	g := Growth{Context: c.Curriculum[0], Batch: c.BatchSize, FromStep: from, ToStep: to}
	if _, err := host.CurrentRSS(); err != nil {
		return g, err
	}
	dir, err := os.MkdirTemp("", "synapnet-growth-")
	if err != nil {
		return g, fmt.Errorf("no temporary directory: %w; set TMPDIR to one that can be written", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()                  // a leftover of it harms nobody
	c.SamplesPerStage, c.EpochsPerStage = 2*to*c.BatchSize, 1 // enough that no epoch ends before
	run, err := pretrain.New(ctx, c, dir, result.Environment{}, nil)
	if err != nil {
		return g, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var failed error
	run.Trainer.Hooks.Step = func(s curriculum.Step) {
		rss, err := host.CurrentRSS()
		if err != nil {
			failed = err
			stop()
		}
		g.read(s.Step, rss)
		if s.Step == to {
			stop()
		}
	}
	_, err = run.Run(ctx)
	switch {
	case failed != nil:
		return g, failed
	case g.To == 0 || !errors.Is(err, train.ErrInterrupted):
		return g, err // interrupted from outside, or failed
	}
	g.Change = float64(g.To)/float64(g.From) - 1
	return g, nil
}

// read takes the resident memory after a step.
func (g *Growth) read(step int, rss uint64) {
	switch step {
	case g.FromStep:
		g.From = rss
	case g.ToStep:
		g.To = rss
	}
	if step >= g.FromStep && step <= g.ToStep {
		g.Largest = max(g.Largest, rss)
	}
}

// kind names cases among the kinds of measurements in a process of their own.
const kind = "bench"

// Kinds are the kinds of this package.
func Kinds() measure.Kinds {
	return measure.Kinds{kind: measure.Kind(func(ctx context.Context, b Case) (any, error) {
		if b.Name == MemoryGrowth {
			return MeasureGrowth(ctx, b.Context, b.Batch)
		}
		return b.Run(ctx)
	})}
}
