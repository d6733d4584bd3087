package train

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func generator() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// Every order is a function of the step: asked in any order, as by a run that continues, it says the same.
func TestOrdersAreFunctionsOfTheStep(t *testing.T) {
	permutation := func(epoch int) []int { return rand.New(rand.NewPCG(1, uint64(epoch))).Perm(10) }
	for name, begin := range map[string]func() Order{
		"shuffled":                func() Order { return Shuffled(10, 4, permutation) },
		"without a smaller batch": func() Order { return Shuffled(8, 4, permutation) },
		"in order":                func() Order { return InOrder(4) },
		"drawn":                   func() Order { return Drawn(10, 4, generator) },
	} {
		all, order := [][]int{}, begin()
		for step := range 9 {
			all = append(all, slices.Clone(order(step)))
		}
		for _, step := range []int{7, 2, 2, 0, 8, 5} {
			if got := order(step); !slices.Equal(got, all[step]) {
				t.Errorf("%s: step %d has %v, before %v", name, step, got, all[step])
			}
			if got := begin()(step); !slices.Equal(got, all[step]) {
				t.Errorf("%s: of a run that continues step %d has %v, before %v", name, step, got, all[step])
			}
		}
	}
}

// An epoch takes every sample once, in another order than the one before; the last batch is smaller.
func TestShuffledTakesEverySampleOnceAnEpoch(t *testing.T) {
	order := Shuffled(10, 4, func(epoch int) []int { return rand.New(rand.NewPCG(1, uint64(epoch))).Perm(10) })
	var epochs [2][]int
	for step := range 6 {
		rows := order(step)
		if want := []int{4, 4, 2}[step%3]; len(rows) != want {
			t.Errorf("step %d has %d samples, want %d", step, len(rows), want)
		}
		epochs[step/3] = append(epochs[step/3], rows...)
	}
	if slices.Equal(epochs[0], epochs[1]) {
		t.Error("two epochs have the same order")
	}
	for _, e := range epochs {
		slices.Sort(e)
		if !slices.Equal(e, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("an epoch takes %v", e)
		}
	}
}

// No batch has a sample twice, and every sample has its turn.
func TestDrawnHasNoSampleTwiceInABatch(t *testing.T) {
	order, seen := Drawn(10, 4, generator), map[int]bool{}
	for step := range 30 {
		rows := slices.Clone(order(step))
		for _, i := range rows {
			seen[i] = true
		}
		slices.Sort(rows)
		if len(slices.Compact(rows)) != 4 {
			t.Errorf("step %d has a sample twice", step)
		}
	}
	if len(seen) != 10 {
		t.Errorf("only %d samples of 10 are drawn", len(seen))
	}
}

func TestStepsPerEpoch(t *testing.T) {
	for _, x := range [][3]int{{1, 4, 1}, {4, 4, 1}, {5, 4, 2}, {8, 4, 2}, {Endless, Endless, 1}} {
		if got := StepsPerEpoch(x[0], x[1]); got != x[2] {
			t.Errorf("%d samples in batches of %d are %d steps, want %d", x[0], x[1], got, x[2])
		}
	}
}
