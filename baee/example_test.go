package baee_test

import (
	"fmt"
	"log"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/layers"
)

// A stream of any length runs through a model in chunks. What its memory holds never takes more than the budget.
func ExampleStream() {
	model, err := layers.NewModel(layers.Config{
		Dim: 16, Depth: 2, Heads: 2, VocabSize: 64, MaxLen: 32, NumClasses: 8, KFrac: 0.25, EpisodicSlots: 8,
		EpisodicWriteFrac: 0.25, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: layers.SparseThreshold,
	}, 42)
	if err != nil {
		log.Fatal(err)
	}
	c := baee.Default(model.Config.Dim, model.Config.Depth, model.Config.EpisodicSlots, nil)
	c.Policy, c.Tiers, c.BudgetBytes = "fifo", false, 1024
	memory, err := baee.New(c)
	if err != nil {
		log.Fatal(err)
	}
	stream, err := baee.NewStream(model, memory, 32)
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()

	report := func(logits []float32) error { // after each chunk
		held := memory.Total()
		fmt.Printf("%d logits; %d entries held, %d evicted, within budget %t\n",
			len(logits), held.Hot+held.Warm, held.Evicted, held.Bytes <= c.BudgetBytes)
		return nil
	}
	ids := make([]int32, 100) // in pieces of any size
	for _, piece := range [][]int32{ids[:50], ids[50:]} {
		if err := stream.Push(piece, report); err != nil {
			log.Fatal(err)
		}
	}
	if err := stream.Flush(report); err != nil { // the four tokens that fill no chunk
		log.Fatal(err)
	}
	// Output:
	// 8 logits; 16 entries held, 0 evicted, within budget true
	// 8 logits; 32 entries held, 0 evicted, within budget true
	// 8 logits; 32 entries held, 16 evicted, within budget true
	// 8 logits; 32 entries held, 18 evicted, within budget true
}
