package policy

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/quick"
)

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// Best is the head of a stable sort, on scores with many ties as well.
func TestBestIsTheHeadOfAStableSort(t *testing.T) {
	check := func(seed uint64, size uint16, levels uint8) bool {
		r := rng(seed)
		n := int(size) % 700
		scores := make([]float64, n)
		for i := range scores {
			scores[i] = float64(r.IntN(int(levels)+1)) / 3
			if r.IntN(40) == 0 {
				scores[i] = math.Inf(1 - 2*r.IntN(2))
			}
		}
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(scores[j], scores[i]) })
		for _, k := range []int{0, 1, n / 4, n - 1, n, n + 5} {
			if !slices.Equal(Best(scores, k), order[:min(max(k, 0), n)]) {
				t.Logf("n %d, k %d: got %v, want %v", n, k, Best(scores, k), order[:min(max(k, 0), n)])
				return false
			}
			// The unsorted form takes the same ones, ties included.
			byTie := func(i int) (float64, int64) { return scores[i], int64(i * 7 % 5) }
			top, want := topBy(n, k, byTie), bestBy(n, k, byTie)
			slices.Sort(top)
			slices.Sort(want)
			if !slices.Equal(top, want) {
				t.Logf("n %d, k %d: got %v, want %v", n, k, top, want)
				return false
			}
		}
		return true
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 200}); err != nil {
		t.Error(err)
	}
}

func TestBestTakesNaNForTheSmallest(t *testing.T) {
	if got := Best([]float64{math.NaN(), -1, math.NaN(), 3}, 3); !slices.Equal(got, []int{3, 1, 0}) {
		t.Errorf("got %v", got)
	}
}

// Orders that are bad for a median of three do not take quadratic time: the test would not end.
func TestBestOnAdverseOrders(t *testing.T) {
	const n = 200_000
	for name, f := range map[string]func(i int) float64{
		"ascending":  func(i int) float64 { return float64(i) },
		"descending": func(i int) float64 { return -float64(i) },
		"equal":      func(int) float64 { return 1 },
		"organ pipe": func(i int) float64 { return float64(min(i, n-i)) },
	} {
		scores := make([]float64, n)
		for i := range scores {
			scores[i] = f(i)
		}
		if top := topBy(n, n/4, func(i int) (float64, int64) { return scores[i], 0 }); len(top) != n/4 {
			t.Fatalf("%s: %d of %d", name, len(top), n/4)
		}
		kept := Best(scores, n/4)
		for i := 1; i < len(kept); i++ {
			if scores[kept[i-1]] < scores[kept[i]] {
				t.Fatalf("%s: out of order at %d", name, i)
			}
		}
	}
}
