package main

import (
	"math/rand/v2"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
)

// purpose keys the samples that this program tests models on, so that they are no samples of a training.
const purpose tasks.Purpose = "outside-test"

// leastClass is a task: some class tokens are hidden in filler; the label is the least class among them.
var leastClass = tasks.Task{
	Name: "outside/least_class", Doc: "3 class tokens in the filler; the least class of them?", Source: "this example",
	Defaults: tasks.Params{Items: 3},
	Need:     func(p tasks.Params) tasks.Need { return tasks.Need{Length: p.Items + 3} },
	Chance: func(p tasks.Params) float64 { // of the class 0, the most frequent label: that any item is 0
		none := 1.0
		for range p.Items {
			none *= 1 - 1/float64(p.Classes)
		}
		return 1 - none
	},
	Generate: func(rng *rand.Rand, p tasks.Params) (tasks.Sample, error) {
		ids := make([]int32, p.Length)
		filler := int(tasks.KeyStart) + p.Classes
		for i := range ids {
			ids[i] = int32(filler + rng.IntN(p.Vocab-filler))
		}
		ids[0], ids[p.Length-2], ids[p.Length-1] = tasks.BOS, tasks.QUERY, tasks.SEP
		s := tasks.Sample{IDs: ids, Label: int32(p.Classes)}
		for _, at := range rng.Perm(p.Length - 3)[:p.Items] {
			class := int32(rng.IntN(p.Classes))
			ids[1+at] = tasks.KeyStart + class
			if class < s.Label {
				s.Label, s.Targets = class, []int{1 + at}
			}
		}
		return s, nil
	},
}
