package qat_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/qat"
)

// From a model in floating point to a packed file: calibrate on data, put the quantisers in, and write what they round
// to. Between the last two, qat.Finetune trains through them.
func Example() {
	model, err := layers.NewModel(layers.Config{
		Dim: 64, Depth: 2, Heads: 2, VocabSize: 64, MaxLen: 32, NumClasses: 8, KFrac: 0.25, EpisodicSlots: 8,
		EpisodicWriteFrac: 0.25, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: layers.SparseThreshold,
	}, 42)
	if err != nil {
		log.Fatal(err)
	}
	data, err := qat.MixtureBatches(model.Config, 4, 2, 32, tasks.Seeded(42).For(tasks.Calibration, 0))
	if err != nil {
		log.Fatal(err)
	}
	statistics, err := qat.Calibrate(model, data)
	if err != nil {
		log.Fatal(err)
	}
	o := qat.DefaultOptions() // 2 bits for the SSM, 4 for attention
	quantised, err := qat.Prepare(model, statistics, o)
	if err != nil {
		log.Fatal(err)
	}
	if err := quantised.Convert(); err != nil { // to the half-precision scales that the file holds
		log.Fatal(err)
	}
	packed, err := quantised.PackedFile()
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "packed.safetensors")
	if err := safetensors.Write(path, packed); err != nil {
		log.Fatal(err)
	}
	small, err := layers.Load(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("packed:", small.Packed(), "parameters:", small.Parameters() == model.Parameters())
	// Output: packed: true parameters: true
}
