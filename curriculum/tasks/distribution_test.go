package tasks

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// uniform fails if counts differ from equal ones by more than chance allows. The seed
// is fixed, so the test either always passes or never.
func uniform(t *testing.T, what string, counts []float64) {
	t.Helper()
	total := 0.0
	for _, n := range counts {
		total += n
	}
	expected := make([]float64, len(counts))
	for i := range expected {
		expected[i] = total / float64(len(counts))
	}
	chi2 := stat.ChiSquare(counts, expected)
	p := distuv.ChiSquared{K: float64(len(counts) - 1)}.Survival(chi2)
	if p < 0.001 {
		t.Errorf("%s: not uniform, chi-square %.1f over %d cells, p %.2g: %v", what, chi2, len(counts), p, counts)
	}
}

func TestNIAHDepthIsUniformFrom5To95Percent(t *testing.T) {
	p := Params{Length: 2000, Vocab: 4096, Classes: 64}
	bins := make([]float64, 18)
	for _, s := range mustGenerate(t, "niah_single", 3000, p, 2) {
		pos := s.Targets[0]
		if pos < 100 || pos >= 1900 {
			t.Fatalf("needle at %d of 2000, want 5%% to 95%%", pos)
		}
		bins[(pos-100)/100]++
	}
	uniform(t, "depth", bins)
}

func TestFactPositionsAreUniform(t *testing.T) {
	p := Params{Length: 166, Vocab: 4096, Classes: 64}
	bins := make([]float64, 10)
	for _, s := range mustGenerate(t, "niah_multi_key", 4000, p, 2) {
		bins[(s.Targets[0]-2)/16]++
	}
	uniform(t, "fact position", bins)
}

// Every label that a task can give is equally likely, where Chance says 1 over their
// number.
func TestLabelsAreBalanced(t *testing.T) {
	p := Params{Length: 100, Vocab: 200, Classes: 16, Needles: 4}
	for _, task := range builtin() {
		if task.Need != nil && task.Need(p.withDefaults(task.Defaults)).Classes > 16 {
			continue
		}
		if task.Defaults.Items != 0 && task.Name != "ruler/fa" {
			continue // ties favour low classes: TestChanceOfTheMostFrequent
		}
		chance, err := Chance(task.Name, p)
		if err != nil {
			t.Fatal(err)
		}
		lowest := 0
		if task.Name == "needlebench/cn" {
			lowest = 1
		}
		counts := make([]float64, int(math.Round(1/chance)))
		for _, s := range mustGenerate(t, task.Name, 2000, p, 4) {
			k := int(s.Label) - lowest
			if k < 0 || k >= len(counts) {
				t.Fatalf("%s: label %d, but chance %v says there are %d", task.Name, s.Label, chance, len(counts))
			}
			counts[k]++
		}
		uniform(t, task.Name, counts)
	}
}

// The declared chance level is what always answering 0 scores.
func TestChanceOfTheMostFrequent(t *testing.T) {
	const n = 20000
	for _, name := range []string{"fa", "longbench/summarization", "paper/ruler/fa"} {
		for _, p := range []Params{
			{Length: 24, Vocab: 100, Classes: 2},
			{Length: 24, Vocab: 100, Classes: 64},
			{Length: 24, Vocab: 100, Classes: 5, Items: 3},
		} {
			chance, err := Chance(name, p)
			if err != nil {
				t.Fatal(err)
			}
			zeros := 0.0
			for _, s := range mustGenerate(t, name, n, p, 6) {
				if s.Label == 0 {
					zeros++
				}
			}
			if sigma := math.Sqrt(chance * (1 - chance) / n); math.Abs(zeros/n-chance) > 4*sigma {
				t.Errorf("%s %d classes %d items: always 0 scores %.4f, declared chance %.4f (sigma %.4f)", name, p.Classes,
					p.Items, zeros/n, chance, sigma)
			}
		}
	}
}

// Two items of two classes: both equal with probability 1/2, otherwise a tie that
// class 0 wins; so class 0 wins 3 times of 4.
func TestChanceByHand(t *testing.T) {
	got, err := Chance("paper/ruler/fa", Params{Length: 20, Vocab: 100, Classes: 2, Items: 2})
	if err != nil || math.Abs(got-0.75) > 1e-12 {
		t.Errorf("chance %v, error %v; want 0.75", got, err)
	}
}

// 60% plus its share of the rest of fa's items are of the major class.
func TestFrequencyShare(t *testing.T) {
	p := Params{Length: 64, Vocab: 4096, Classes: 64}
	items, label := 0.0, 0.0
	for _, s := range mustGenerate(t, "fa", 4000, p, 9) {
		items += 16
		label += float64(len(s.Targets))
	}
	if got, want := label/items, 0.6+0.4/64; math.Abs(got-want) > 0.01 {
		t.Errorf("%.4f of the items are of the label's class, want about %.4f", got, want)
	}
}

func TestRunsCoverEveryArrangementEqually(t *testing.T) {
	rng := stream("test", "place", 1)
	// 3 runs of 2 cells in 8: C(8-3, 3) = 10 arrangements.
	seen := map[[3]int]float64{}
	for range 5000 {
		at := place(rng, 10, 18, 3, 2)
		if at[0] < 10 || at[1] < at[0]+2 || at[2] < at[1]+2 || at[2] > 16 {
			t.Fatalf("runs at %v overlap or leave [10, 18)", at)
		}
		seen[[3]int(at)]++
	}
	if len(seen) != 10 {
		t.Fatalf("%d arrangements, want 10", len(seen))
	}
	var counts []float64
	for _, n := range seen {
		counts = append(counts, n)
	}
	uniform(t, "arrangements", counts)
}

func TestChooseGivesEveryOrderedChoiceEqually(t *testing.T) {
	rng := stream("test", "choose", 1)
	seen := map[[2]int]float64{}
	for range 6000 {
		seen[[2]int(choose(rng, 4, 2))]++
	}
	var counts []float64
	for _, n := range seen {
		counts = append(counts, n)
	}
	if len(counts) != 12 {
		t.Fatalf("%d ordered choices of 2 from 4, want 12", len(counts))
	}
	uniform(t, "choices", counts)
}
