// Command streaming is SynapNet-Edge from end to end in one page: build the reference model, quantise it with CAJQ, and
// stream tokens through it with a memory that stays within a budget (BAEE):
//
//	go run ./examples/streaming
//
// The weights here are random, so the answers mean nothing; layers.Load takes a trained model, `synapnet-train
// pretrain` makes one, and `synapnet-train baee-train` the classifier that policy baee wants.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"slices"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// settings are what the test makes small.
type settings struct {
	model       layers.Config
	calibration struct{ batches, size, tokens int }
	length      int // of the stream, tokens
	chunk       int
	budget      int // bytes, over all layers
}

// reference is the model of 8.7 million parameters, calibrated on 128 samples, with 256 MB for its memory.
func reference() settings {
	s := settings{model: layers.Reference(), length: 8192, chunk: 512, budget: baee.DefaultBudget}
	s.calibration.batches, s.calibration.size, s.calibration.tokens = 32, 4, 1024
	return s
}

// compress applies CAJQ after training (PTQ): calibrate, put the quantisers in, and round to what the packed file
// holds.
func compress(model *layers.Model, s settings) (*qat.Quantised, error) {
	data, err := qat.MixtureBatches(model.Config, s.calibration.batches, s.calibration.size, s.calibration.tokens,
		tasks.Seeded(999).For(tasks.Calibration, 0))
	if err != nil {
		return nil, err
	}
	statistics, err := qat.Calibrate(model, data)
	if err != nil {
		return nil, err
	}
	quantised, err := qat.Prepare(model, statistics, qat.DefaultOptions())
	if err != nil {
		return nil, err
	}
	return quantised, quantised.Convert() // quantised.Save would write the small file
}

// memory is BAEE's: entries in half precision, 8 bits or summaries, as their scores and the budget want it.
func memory(c layers.Config, budget int) (*baee.Manager, error) {
	// untrained; baee.LoadClassifier reads a trained one
	classifier, err := baee.NewClassifier(c.Dim, baee.DefaultHidden, 42)
	if err != nil {
		return nil, err
	}
	config := baee.Default(c.Dim, c.Depth, c.EpisodicSlots, classifier)
	config.BudgetBytes = budget
	return baee.New(config)
}

func run(w io.Writer, s settings) error {
	model, err := layers.NewModel(s.model, 42)
	if err != nil {
		return err
	}
	if _, err := compress(model, s); err != nil {
		return err
	}
	manager, err := memory(s.model, s.budget)
	if err != nil {
		return err
	}
	stream, err := baee.NewStream(model, manager, s.chunk)
	if err != nil {
		return err
	}
	defer stream.Close()

	params := tasks.Params{Length: s.length, Vocab: s.model.VocabSize, Classes: s.model.NumClasses}
	samples, err := tasks.Generate("niah_single", 1, params, tasks.Seeded(42).For(tasks.Demonstration, 0))
	if err != nil {
		return err
	}
	var logits []float32
	report := func(chunk []float32) error { // after each chunk; tokens may be pushed in pieces of any size
		logits = append(logits[:0], chunk...)
		held := manager.Total()
		_, err := fmt.Fprintf(w, "%6d tokens  HOT %d  WARM %d  COLD %d  %d bytes  evicted %d\n",
			manager.Chunk()*int64(s.chunk), held.Hot, held.Warm, held.Summaries, held.Bytes, held.Evicted)
		return err
	}
	if err := stream.Push(samples[0].IDs, report); err != nil {
		return err
	}
	if err := stream.Flush(report); err != nil { // the tokens that do not fill a chunk
		return err
	}
	_, err = fmt.Fprintf(w, "most likely class: %d\n", slices.Index(logits, slices.Max(logits)))
	return err
}

func main() {
	if err := run(os.Stdout, reference()); err != nil {
		log.Fatal(err)
	}
}
