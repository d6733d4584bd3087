package data

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
)

var shuffle = Shuffle{Seed: 42, Purpose: tasks.Training}

// An order of any size is one, and goes through every number.
func TestPermutationIsABijection(t *testing.T) {
	sizes := []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 100, 1000, 4095, 4096, 4097, 100_003}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		sizes = append(sizes, 1+rng.IntN(3000))
	}
	for _, n := range sizes {
		for epoch := range 3 {
			p, seen := NewPermutation(n, shuffle, epoch), make([]bool, n)
			for i := range n {
				x := p.At(i)
				if x < 0 || x >= n || seen[x] {
					t.Fatalf("of %d, epoch %d: place %d has %d, outside or a second time", n, epoch, i, x)
				}
				seen[x] = true
			}
		}
	}
}

// chiSquared is the statistic of counts that are expected to be equal, in standard deviations from its mean.
func chiSquared(counts []int) float64 {
	total := 0
	for _, n := range counts {
		total += n
	}
	expected, sum := float64(total)/float64(len(counts)), 0.0
	for _, n := range counts {
		d := float64(n) - expected
		sum += d * d / expected
	}
	freedom := float64(len(counts) - 1)
	return (sum - freedom) / math.Sqrt(2*freedom)
}

// Over many epochs every number is at every place equally often, and pairs of places are as good as independent.
func TestPermutationLooksUniform(t *testing.T) {
	for _, n := range []int{3, 5, 10, 16, 33} {
		const epochs = 20_000
		places, pairs := make([]int, n*n), make([]int, n*n)
		for epoch := range epochs {
			p := NewPermutation(n, shuffle, epoch)
			for i := range n {
				places[i*n+p.At(i)]++
			}
			pairs[p.At(0)*n+p.At(n-1)]++
		}
		// Rows and columns have fixed sums, so that there are fewer degrees of freedom than cells: large is bad.
		if z := chiSquared(places); z > 5 {
			t.Errorf("of %d: places are %.1f standard deviations from uniform", n, z)
		}
		pairs = slices.DeleteFunc(pairs, func(count int) bool { return count == 0 })
		if len(pairs) != n*(n-1) {
			t.Errorf("of %d: %d pairs occur, want %d", n, len(pairs), n*(n-1))
		} else if z := chiSquared(pairs); z > 5 {
			t.Errorf("of %d: pairs are %.1f standard deviations from uniform", n, z)
		}
	}
}

// Within one order of many, where numbers of a part of the range stand is uniform, and so are distances of neighbours.
func TestLargePermutationLooksUniform(t *testing.T) {
	const n, cells = 1_000_003, 100
	p := NewPermutation(n, shuffle, 0)
	var where [cells * cells]int
	var steps [cells]int
	before := p.At(n - 1)
	for i := range n {
		x := p.At(i)
		where[i*cells/n*cells+x*cells/n]++
		steps[(x-before+n)%n*cells/n]++
		before = x
	}
	if z := chiSquared(where[:]); z > 5 {
		t.Errorf("places are %.1f standard deviations from uniform", z)
	}
	if z := chiSquared(steps[:]); z > 5 {
		t.Errorf("distances are %.1f standard deviations from uniform", z)
	}
}

// All that an order is for sets it apart.
func TestOrdersDiffer(t *testing.T) {
	all := map[[8]int]Shuffle{}
	for _, s := range []Shuffle{shuffle, {43, tasks.Training, 0}, {42, tasks.Finetuning, 0}, {42, tasks.Training, 1}} {
		for epoch := range 2 {
			p := NewPermutation(1<<40, s, epoch)
			var begin [8]int
			for i := range begin {
				begin[i] = p.At(i)
			}
			if other, ok := all[begin]; ok {
				t.Errorf("%v and %v begin equally", s, other)
			}
			all[begin] = s
		}
	}
}

// The numbers are those that runs have begun with: they may not change.
func TestOrderIsFixed(t *testing.T) {
	got := [][]int{}
	order := shuffle.Order(10, 10, 4)
	for step := range 6 {
		got = append(got, slices.Clone(order(step)))
	}
	want := [][]int{{6, 4, 9, 3}, {7, 5, 0, 1}, {2, 8}, {1, 4, 8, 0}, {7, 9, 5, 2}, {3, 6}}
	if !slices.EqualFunc(got, want, slices.Equal[[]int]) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// An order is a function of the step, and each epoch takes every sample once.
func TestOrderIsAFunctionOfTheStep(t *testing.T) {
	all, order := [][]int{}, shuffle.Order(10, 10, 4)
	for step := range 9 {
		all = append(all, slices.Clone(order(step)))
		if want := []int{4, 4, 2}[step%3]; len(all[step]) != want {
			t.Errorf("step %d has %d samples, want %d", step, len(all[step]), want)
		}
	}
	for _, step := range []int{7, 2, 2, 0, 8, 5} {
		for _, o := range []func(int) []int{order, shuffle.Order(10, 10, 4)} {
			if got := o(step); !slices.Equal(got, all[step]) {
				t.Errorf("step %d has %v, before %v", step, got, all[step])
			}
		}
	}
	for epoch := range 3 {
		taken := slices.Sorted(slices.Values(slices.Concat(all[3*epoch : 3*epoch+3]...)))
		if !slices.Equal(taken, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("epoch %d takes %v", epoch, taken)
		}
	}
	if slices.Equal(all[0], all[3]) {
		t.Error("two epochs begin equally")
	}
}

func BenchmarkPermutation(b *testing.B) {
	p, i := NewPermutation(10_000_000, shuffle, 0), 0
	for b.Loop() {
		p.At(i % 10_000_000)
		i++
	}
}
