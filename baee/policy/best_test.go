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

// Whatever the distribution of the scores, the k-th of them is that of the sorted ones, and as many are at least as
// large as there are places or ties at the last one.
func TestTopOnManyDistributions(t *testing.T) {
	for name, draw := range map[string]func(r *rand.Rand) float64{
		"even":      func(r *rand.Rand) float64 { return r.Float64() },
		"normal":    func(r *rand.Rand) float64 { return r.NormFloat64() },
		"skewed":    func(r *rand.Rand) float64 { return math.Exp(20 * r.NormFloat64()) },
		"sigmoid":   func(r *rand.Rand) float64 { return float64(float32(1 / (1 + math.Exp(-12*r.NormFloat64())))) },
		"outlier":   func(r *rand.Rand) float64 { return float64(r.IntN(3000)) + math.Floor(r.Float64()*1.001)*1e30 },
		"narrow":    func(r *rand.Rand) float64 { return 1 + float64(r.IntN(5))*0x1p-52 },
		"denormal":  func(r *rand.Rand) float64 { return float64(r.IntN(9)) * math.SmallestNonzeroFloat64 },
		"huge":      func(r *rand.Rand) float64 { return (2*r.Float64() - 1) * math.MaxFloat64 },
		"both zero": func(r *rand.Rand) float64 { return math.Copysign(0, float64(r.IntN(2))-0.5) },
	} {
		r := rng(3)
		for _, n := range []int{255, 256, 3000, 20_000} {
			scores := make([]float64, n)
			for i := range scores {
				scores[i] = draw(r)
			}
			for _, k := range []int{1, n / 4, n - 1, n} {
				score := func(i int) (float64, int64) { return scores[i], int64(i % 3) }
				top, want := topBy(n, k, score), bestBy(n, k, score)
				slices.Sort(want)
				if !slices.Equal(top, want) {
					t.Errorf("%s: the best %d of %d are not those of the sorted ones", name, k, n)
				}
			}
		}
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
