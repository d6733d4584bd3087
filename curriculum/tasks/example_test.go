package tasks_test

import (
	"fmt"
	"log"
	"math/rand/v2"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
)

// A task of your own is one file: a generator and an entry in the registry.
func Example() {
	err := tasks.Register(tasks.Task{
		Name:   "first_token",
		Doc:    "a class token right after BOS; which?",
		Source: "this file",
		Chance: func(p tasks.Params) float64 { return 1 / float64(p.Classes) },
		Generate: func(rng *rand.Rand, p tasks.Params) (tasks.Sample, error) {
			ids := make([]int32, p.Length) // PAD throughout
			label := int32(rng.IntN(p.Classes))
			ids[0], ids[1] = tasks.BOS, tasks.KeyStart+label
			ids[p.Length-2], ids[p.Length-1] = tasks.QUERY, tasks.SEP
			return tasks.Sample{IDs: ids, Label: label, Targets: []int{1}}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	samples, err := tasks.Generate("first_token", 2, tasks.Params{Length: 8, Vocab: 16, Classes: 4},
		tasks.Seeded(42).For(tasks.Demonstration, 0))
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range samples {
		fmt.Println(s.Task, s.IDs, "label", s.Label)
	}
	_, err = tasks.Lookup("first_tokens")
	fmt.Println(err)
	// Output:
	// first_token [1 6 0 0 0 0 4 3] label 1
	// first_token [1 6 0 0 0 0 4 3] label 1
	// unknown task "first_tokens": did you mean "first_token"?
}

func ExampleMixture() {
	p := tasks.Params{Length: 512, Vocab: 4096, Classes: 64}
	samples, err := tasks.Mixture(2048, p, tasks.Seeded(42).For(tasks.Training, 0), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(samples), "samples of", len(samples[0].IDs), "tokens")
	// Output: 2047 samples of 512 tokens
}
