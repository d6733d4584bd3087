// Command outside is what a module of your own looks like that extends SynapNet-Edge, with one file for each of a
// layer, an architecture, an eviction policy, a task and a quantisation scheme:
//
//	go run .
//
// It trains two models on the task by the library's trainer, a SynapNet with the layer in its blocks and a model of the
// architecture, evaluates them, packs them by the scheme, and streams the packed models through a memory that the
// policy keeps within its budget. The program synapnet-train knows nothing of them: what it does by commands, this one
// does by the functions that the commands call.
//
// Outside of this repository, go.mod has `require github.com/synapnet/synapnet-train VERSION` and no replace.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/layers/scheme"
	"github.com/synapnet/synapnet-train/qat"
)

// register makes all five known by their names, before anything is read that names them.
func register() error {
	return errors.Join(
		layers.RegisterLayer(tokenShift),
		layers.RegisterArchitecture(sparseMemory),
		policy.Register(sinks),
		tasks.Register(leastClass),
		tasks.RegisterPurpose(purpose),
		scheme.Register(ternary),
	)
}

// run is what a training of a model is determined by: what a configuration file of pretrain can set, too.
func run() curriculum.Config {
	c := curriculum.Default()
	c.Model = layers.Config{
		Dim: 32, Depth: 2, Heads: 2, VocabSize: 48, MaxLen: 64, NumClasses: 8, KFrac: 0.25, EpisodicSlots: 8,
		EpisodicWriteFrac: 0.25, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: layers.SparseThreshold,
	}
	c.Mixture = []tasks.Weight{{Task: leastClass.Name, Share: 1}}
	c.Curriculum, c.SamplesPerStage, c.EpochsPerStage, c.BatchSize = []int{16, 24}, 1024, 1, 16
	c.LR, c.WarmupSteps, c.EvalSamples = 3e-3, 8, 128
	return c
}

// withLayer is a SynapNet with the layer in its blocks.
func withLayer() curriculum.Config {
	c := run()
	c.Model.BlockLayers = []string{tokenShift.Name}
	return c
}

// withArchitecture is a model of the architecture, matched to the parameters of a SynapNet of the same settings before
// an option of its own halves its feed-forward.
func withArchitecture() (curriculum.Config, error) {
	c := run()
	var err error
	c.Model, err = layers.MatchedConfig(layers.Architecture(sparseMemory.Name), c.Model)
	c.Model.EpisodicWriteFrac = 0.25
	c.Model.Options = map[string]float64{ffWidth: 0.5}
	return c, err
}

// train trains a model and leaves its checkpoint, from which curriculum.Resume would continue, at path.
func train(ctx context.Context, c curriculum.Config, path string) (*curriculum.Trainer, error) {
	t, err := curriculum.New(c)
	if err != nil {
		return nil, err
	}
	t.CheckpointPath = path
	return t, t.Run(ctx)
}

// evaluate is the accuracy on samples of the task that are no samples of a training.
func evaluate(ctx context.Context, m *layers.Model) (curriculum.Accuracy, error) {
	p := tasks.Params{Length: 24, Vocab: m.Config.VocabSize, Classes: m.Config.NumClasses}
	samples, err := tasks.Generate(leastClass.Name, 256, p, tasks.Seeded(1).For(purpose, 0))
	if err != nil {
		return curriculum.Accuracy{}, err
	}
	e, err := curriculum.EvaluateContext(ctx, m, samples, 16)
	return e.Overall, err
}

// pack quantises the weights of the layer, or of all blocks of the architecture, by the scheme, and writes the packed
// model.
func pack(m *layers.Model, path string) (*layers.Model, error) {
	copied, err := m.Clone()
	if err != nil {
		return nil, err
	}
	o := qat.DefaultOptions()
	o.Targets, o.Schemes = []qat.Target{qat.Layers}, map[qat.Target]string{qat.Layers: ternary.Name}
	o.GroupSize = m.Config.Dim
	q, err := qat.Prepare(copied, nil, o)
	if err != nil {
		return nil, err
	}
	f, err := q.PackedFile()
	if err != nil {
		return nil, err
	}
	if err := safetensors.Write(path, f); err != nil {
		return nil, err
	}
	return layers.Load(path)
}

// stream runs ids through a model in chunks with a memory of a few entries a layer, and says what is held of it in the
// end.
func stream(m *layers.Model, ids []int32) (baee.Counts, error) {
	c := baee.Default(m.Config.Dim, m.Config.Depth, m.Config.EpisodicSlots, nil)
	c.Policy, c.Tiers = sinks.Name, false
	c.BudgetBytes = 12 * m.Config.Depth * c.EntryBytes()
	memory, err := baee.New(c)
	if err != nil {
		return baee.Counts{}, err
	}
	s, err := baee.NewStream(m, memory, 16)
	if err != nil {
		return baee.Counts{}, err
	}
	defer s.Close()
	ignore := func([]float32) error { return nil } // the logits after each chunk
	if err := errors.Join(s.Push(ids, ignore), s.Flush(ignore)); err != nil {
		return baee.Counts{}, err
	}
	return memory.Total(), nil
}

// all does everything with one model and prints what comes of it.
func all(ctx context.Context, w io.Writer, dir string, c curriculum.Config) error {
	t, err := train(ctx, c, filepath.Join(dir, "checkpoint.safetensors"))
	if err != nil {
		return err
	}
	trained, err := evaluate(ctx, t.Model)
	if err != nil {
		return err
	}
	packed, err := pack(t.Model, filepath.Join(dir, "packed.safetensors"))
	if err != nil {
		return err
	}
	small, err := evaluate(ctx, packed)
	if err != nil {
		return err
	}
	held, err := stream(packed, make([]int32, 100))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s with layers %v: %d parameters, accuracy %.3f; packed %d bytes, accuracy %.3f; "+
		"streamed, %d entries held, %d evicted\n", c.Model.Architecture, c.Model.BlockLayers, t.Model.Parameters(),
		trained.Mean,
		packed.WeightBytes(), small.Mean, held.Hot, held.Evicted)
	return err
}

func program(ctx context.Context, w io.Writer, dir string) error {
	if err := all(ctx, w, dir, withLayer()); err != nil {
		return err
	}
	other, err := withArchitecture()
	if err != nil {
		return err
	}
	return all(ctx, w, dir, other)
}

func main() {
	log.SetFlags(0)
	if err := register(); err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "outside")
	if err == nil {
		err = program(context.Background(), os.Stdout, dir)
	}
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
}
