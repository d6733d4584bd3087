package curriculum_test

import (
	"context"
	"fmt"
	"log"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/layers"
)

// A run is its configuration: the same settings and seed give the same bytes, on one thread or on many.
func ExampleTrainer() {
	c := curriculum.Default() // the reference recipe; here everything is small
	c.Model = layers.Config{
		Dim: 16, Depth: 1, Heads: 2, VocabSize: 64, MaxLen: 32, NumClasses: 8, KFrac: 0.25, EpisodicSlots: 8,
		EpisodicWriteFrac: 0.25, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: layers.SparseThreshold,
	}
	c.Curriculum, c.SamplesPerStage, c.EpochsPerStage, c.BatchSize, c.EvalSamples = []int{24, 32}, 16, 1, 8, 8
	t, err := curriculum.New(c)
	if err != nil {
		log.Fatal(err)
	}
	// With t.CheckpointPath set, the run is saved there as it goes, and curriculum.Resume continues it.
	t.Hooks.Evaluation = func(e curriculum.EpochEvaluation) {
		fmt.Printf("stage %d, context %d: %d steps, %d held-out samples\n", e.Stage+1, e.Context, e.Step, e.Overall.N)
	}
	if err := t.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// stage 1, context 24: 4 steps, 32 held-out samples
	// stage 2, context 32: 8 steps, 32 held-out samples
}
