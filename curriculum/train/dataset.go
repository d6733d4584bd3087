package train

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Dataset gives samples by their number. What it gives depends on the number alone: a run that continues asks for the
// samples that it would have asked for.
type Dataset[S any] interface {
	// Len is the number of samples; Endless for a dataset that makes them as they are asked for.
	Len() int
	// Sample returns sample i, from 0 to Len()-1.
	Sample(i int) (S, error)
}

// Endless is the length of a dataset without an end.
const Endless = math.MaxInt

// Samples is a dataset that is held in memory.
type Samples[S any] []S

// Len is the number of samples.
func (s Samples[S]) Len() int { return len(s) }

// Sample returns sample i.
func (s Samples[S]) Sample(i int) (S, error) { return s[i], nil }

// batch collects the samples of a step.
func batch[S any](d Dataset[S], rows []int) ([]S, error) {
	all := make([]S, len(rows))
	for k, i := range rows {
		if i < 0 || i >= d.Len() {
			return nil, fmt.Errorf("the order asks for sample %d of a dataset of %d", i, d.Len())
		}
		var err error
		if all[k], err = d.Sample(i); err != nil {
			return nil, fmt.Errorf("sample %d: %w", i, err)
		}
	}
	return all, nil
}

// Order returns the numbers of the samples of a step's batch; steps count from 0 at the beginning of a phase. It is a
// function of the step: called again, or by a run that continues, it returns the same. The result is valid until the
// next call.
type Order func(step int) []int

// StepsPerEpoch is the number of batches of n samples, the last of which may be smaller.
func StepsPerEpoch(n, batch int) int { return (n-1)/batch + 1 }

// Shuffled takes the first n samples of a permutation, another one each epoch; the last batch of an epoch may be
// smaller. An n below the length of the permutation leaves samples out that would make a smaller batch.
func Shuffled(n, batch int, permutation func(epoch int) []int) Order {
	var order []int
	current := -1 // its epoch
	return func(step int) []int {
		perEpoch := StepsPerEpoch(n, batch)
		epoch, at := step/perEpoch, step%perEpoch
		if epoch != current {
			order, current = permutation(epoch), epoch
		}
		return order[at*batch : min((at+1)*batch, n)]
	}
}

// InOrder takes the samples as they come, as from an Endless dataset.
func InOrder(batch int) Order {
	return func(step int) []int {
		rows := make([]int, batch)
		for k := range rows {
			rows[k] = step*batch + k
		}
		return rows
	}
}

// Drawn draws each batch anew from all n samples, none twice within a batch. begin returns the generator in the state
// in which it begins.
func Drawn(n, batch int, begin func() *rand.Rand) Order {
	var rng *rand.Rand
	var order []int
	next := 0 // the step that the generator stands at
	return func(step int) []int {
		if rng == nil || step < next-1 {
			rng, next = begin(), 0
			order = rng.Perm(n)
		}
		for ; next <= step; next++ {
			for i := range batch { // the first places of a Fisher-Yates shuffle
				j := i + rng.IntN(n-i)
				order[i], order[j] = order[j], order[i]
			}
		}
		return order[:batch]
	}
}
